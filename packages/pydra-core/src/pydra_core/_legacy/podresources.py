"""Asks the kubelet who holds which devices: its pod-resources API (v1), the only place where a release shows.

Nobody tells a device plugin that a device is free again. `releasing` asks here and draws the conclusions; this module
only says what the kubelet answered. Each question has a connection of its own: a kubelet that restarts makes a new
socket, and one that answers late must not hold up the next question.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from pydra_core._proto import podresources_v1_pb2 as pb
from pydra_core.errors import HostError

Name: TypeAlias = tuple[str, str]
"""An extended resource and one of its device IDs."""

DEADLINE = 10.0
"""Seconds a kubelet may take to answer; it does so from memory."""
_LARGEST = 16 << 20
"""Bytes of an answer, as the kubelet's own clients take them: it names all devices of all pods."""
_OPTIONS = (
    ("grpc.max_receive_message_length", _LARGEST),
    (
        "grpc.use_local_subchannel_pool",
        1,
    ),  # else a socket that was not there is not tried anew for a while
)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a kubelet said.

    Attributes:
        pods: Namespace and name of each pod it knows, also of those that hold nothing.
        held: Resource and ID of each device a pod holds, and the pod.
    """

    pods: frozenset[tuple[str, str]]
    held: dict[Name, str]


class PodResources:
    """The API at one socket."""

    def __init__(self, socket: Path, deadline: float | None = None) -> None:
        """`deadline` is in seconds."""
        self.socket = socket
        self._deadline = deadline or DEADLINE

    async def list(self) -> Listing:
        """Ask for all pods.

        Raises:
            HostError: the socket is not there, nobody answers, or not in time.
        """
        answer = await self._ask("List", pb.ListPodResourcesRequest())
        try:
            return _listing(pb.ListPodResourcesResponse.FromString(answer))
        except DecodeError as err:
            raise self._error(f"its answer cannot be read: {err}") from err

    async def _ask(self, method: str, request: Any) -> bytes:
        async with grpc.aio.insecure_channel(f"unix:{self.socket}", options=_OPTIONS) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[Any, bytes] = channel.unary_unary(
                f"/v1.PodResourcesLister/{method}",
                request_serializer=lambda message: message.SerializeToString(),
            )
            try:
                return bytes(await call(request, timeout=self._deadline))
            except grpc.aio.AioRpcError as err:
                raise self._error(f"{err.code().name}: {err.details()}") from err

    def _error(self, why: str) -> HostError:
        return HostError(
            f"pod-resources socket {self.socket}: {why}; mount the kubelet's pod-resources directory by hostPath at"
            " the same path, or set POD_RESOURCES_SOCKET; until it answers no device of a pod counts as released",
            path=str(self.socket),
        )


def _listing(answer: pb.ListPodResourcesResponse) -> Listing:
    held = {
        (devices.resource_name, name): f"{pod.namespace}/{pod.name}"
        for pod in answer.pod_resources
        for container in pod.containers
        for devices in container.devices
        for name in devices.device_ids
    }
    return Listing(frozenset((pod.namespace, pod.name) for pod in answer.pod_resources), held)
