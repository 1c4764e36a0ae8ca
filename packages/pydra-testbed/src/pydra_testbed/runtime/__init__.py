"""The testbed's container runtime: CDI into an OCI spec, the spec into a local process.

The kubelet starts containers through `Runtime`, the API server reads pod logs from it.
"""

from pydra_testbed.runtime.additions import Additions, HostDevice, HostMount
from pydra_testbed.runtime.container import Container, ContainerRequest
from pydra_testbed.runtime.errors import (
    ContainerError,
    LogNotFoundError,
    NoCommandError,
    StartError,
)
from pydra_testbed.runtime.runtime import Runtime

__all__ = [
    "Additions",
    "Container",
    "ContainerError",
    "ContainerRequest",
    "HostDevice",
    "HostMount",
    "LogNotFoundError",
    "NoCommandError",
    "Runtime",
    "StartError",
]
