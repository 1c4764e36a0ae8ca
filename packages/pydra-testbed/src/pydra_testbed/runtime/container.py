"""What crosses between kubelet and runtime: a request to start a container, and the running container."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pydra_testbed.objects import KubeObject
from pydra_testbed.runtime.additions import Additions
from pydra_testbed.runtime.process import ContainerProcess


@dataclass(frozen=True, slots=True)
class ContainerRequest:
    """One start of one container: `devices` are CDI device IDs, `attempt` counts restarts from 0.

    `additions` are what device plugins answered beside CDI devices.
    """

    pod: KubeObject
    container: KubeObject
    devices: tuple[str, ...] = ()
    attempt: int = 0
    address: str = "127.0.0.1"
    additions: Additions = field(default_factory=Additions)


@dataclass(frozen=True, slots=True)
class Container:
    """A container that was started; `id` is what the pod's status calls `containerID`."""

    id: str
    name: str
    started_at: datetime
    process: ContainerProcess

    @property
    def pid(self) -> int:
        """Process ID of the first process, on the host."""
        return self.process.pid

    @property
    def ended(self) -> bool:
        """Whether `wait` has seen the end."""
        return self.process.ended.is_set()

    async def wait(self) -> int:
        """The exit code, 128 + n for signal n, when nothing of the container runs any more."""
        return await self.process.wait()

    def terminate(self) -> None:
        """Ask the first process to end (SIGTERM)."""
        self.process.terminate()

    async def kill(self) -> int:
        """End everything of the container (SIGKILL) and return its exit code."""
        self.process.kill()
        return await self.process.wait()
