"""Why a container does not run, in the words `kubectl describe pod` shows.

Raised by the runtime, turned into a waiting or terminated state by the kubelet.
"""

from __future__ import annotations


class ContainerError(Exception):
    """A container could not be created; `reason` becomes `state.waiting.reason`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class NoCommandError(ContainerError):
    """The container names no `command`, and the testbed has no images to take one from."""

    def __init__(self, container: str) -> None:
        super().__init__(
            "NoCommand",
            f'container "{container}": command is empty and the testbed has no images to take an '
            "entry point from; set spec.containers[].command",
        )


class StartError(ContainerError):
    """The container was created but its first process did not start."""

    def __init__(self, message: str) -> None:
        super().__init__("StartError", f"unable to start container process: {message}")


class LogNotFoundError(LookupError):
    """No log exists for that container yet; the API server answers 400 with this text."""

    def __init__(self, namespace: str, pod: str, container: str) -> None:
        super().__init__(
            f'container "{container}" in pod "{namespace}/{pod}" has not started: '
            "wait until the pod is running and ask again"
        )
