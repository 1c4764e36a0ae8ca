"""Where pod logs come from: the door between the `log` subresource and whoever runs containers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class LogSource(Protocol):
    """Reads the output of containers; the testbed's runtime is one."""

    def read(
        self, namespace: str, name: str, container: str, *, follow: bool
    ) -> AsyncIterator[bytes]:
        """What a container wrote, and with `follow` what it writes until it ends.

        Raises `LookupError`, with a text for the user, when there is nothing to read yet.
        """


class NoLogs:
    """The source of a server that was started without one."""

    async def read(
        self, namespace: str, name: str, container: str, *, follow: bool
    ) -> AsyncIterator[bytes]:
        """Raises `LookupError` that says so."""
        message = f"no log of {namespace}/{name}/{container}: this API server has no source of logs"
        if follow:
            message += " to follow"
        raise LookupError(message)
        yield b""


def container_of(pod_containers: list[str], asked: str) -> str:
    """The container a request means: the one it names, or the only one.

    Raises `LookupError` with the choice when the request leaves it open.
    """
    if asked in pod_containers:
        return asked
    if asked:
        raise LookupError(f'container "{asked}" is not in the pod: choose one of {pod_containers}')
    if len(pod_containers) == 1:
        return pod_containers[0]
    raise LookupError(f"a container name must be specified, choose one of: {pod_containers}")
