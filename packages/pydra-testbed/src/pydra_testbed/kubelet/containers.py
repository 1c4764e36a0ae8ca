"""One container of a pod: started, watched, started again by the pod's policy, stopped.

Used by `PodWorker`, one per entry of `containers` and `initContainers`. One that an earlier kubelet started and
that still runs is taken over. Restarts back off as the
kubelet's do: at once, then 10 s doubling to 5 min, from the start again after 10 min of running.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydra_testbed.kubelet.context import NodeContext
from pydra_testbed.kubelet.deviceplugins import DeviceError
from pydra_testbed.kubelet.dra import DraError
from pydra_testbed.kubelet.states import (
    Terminated,
    container_id_of,
    restored,
)
from pydra_testbed.kubelet.wakeup import Wakeup
from pydra_testbed.objects import KubeObject, name_of, namespace_of, uid_of
from pydra_testbed.podlimits import is_sidecar
from pydra_testbed.runtime import Container, ContainerError, ContainerRequest, StartError
from pydra_testbed.runtime.waiting import first_of


@dataclass(frozen=True, slots=True)
class PodSide:
    """What a container needs of its pod: the pod as it is now, and how to report a change."""

    pod: Callable[[], KubeObject]
    publish: Callable[[], Awaitable[None]]
    touched: Wakeup


class ContainerRunner:
    """Runs one container; `record` is what the pod's status says about it, `begun` is set once it ran."""

    def __init__(
        self, spec: KubeObject, status: KubeObject | None, side: PodSide, node: NodeContext
    ) -> None:
        running = container_id_of(status)
        adopted = node.runtime.running(running) if running else None
        self.record = restored(spec["name"], status, node.clock.now(), runs=adopted is not None)
        self.is_sidecar = is_sidecar(spec)
        self.begun = asyncio.Event()
        if adopted is not None:
            self.begun.set()
        self._spec = spec
        self._side = side
        self._node = node
        self._container: Container | None = adopted
        self._pause = 0.0

    @property
    def is_running(self) -> bool:
        """Whether it runs, started by this kubelet or the one before."""
        return self._container is not None

    @property
    def succeeded(self) -> bool:
        """Whether it ended with exit code 0."""
        state = self.record.state
        return isinstance(state, Terminated) and state.exit_code == 0

    async def run(self, policy: str) -> None:
        """Keep the container running as `policy` (Always, OnFailure, Never) asks; returns at its end."""
        while self._wants_start(policy):
            if isinstance(self.record.state, Terminated):
                await self._back_off(self.record.state)
            if self._container is None:
                await self._start()
            if self._container is not None:
                self._ended(await self._container.wait())
            await self._side.publish()

    async def stop(self, grace: Callable[[], float]) -> None:
        """SIGTERM, and SIGKILL once `grace()` seconds have passed; the grace may shrink meanwhile."""
        if self._container is None:
            return
        await self._event("Normal", "Killing", f"Stopping container {self.record.name}")
        asked = self._node.clock.monotonic()
        self._container.terminate()
        while not self._container.ended:
            ticket = self._side.touched.ticket()
            left = asked + grace() - self._node.clock.monotonic()
            if left <= 0:
                break
            clock = self._node.clock
            await first_of(self._container.wait(), clock.sleep(left), ticket.wait())
        self._ended(await self._container.kill())

    def _wants_start(self, policy: str) -> bool:
        state = self.record.state
        if not isinstance(state, Terminated):
            return True
        return policy == "Always" or (policy == "OnFailure" and state.exit_code != 0)

    async def _start(self) -> None:
        """Start the next attempt; a container that cannot be created is tried again and again."""
        settings = self._node.settings
        while True:
            ticket = self._side.touched.ticket()
            try:
                await self._create()
            except StartError as error:
                await self._not_started(error)
                return
            except (ContainerError, DraError, DeviceError) as error:
                await self._not_created(error)
                pause = self._node.jittered(settings.sync_backoff, settings.sync_jitter)
                await first_of(self._node.clock.sleep(pause), ticket.wait())
            else:
                await self._event("Normal", "Started", f"Started container {self.record.name}")
                await self._side.publish()
                return

    async def _create(self) -> None:
        pod = self._side.pod()
        claimed = self._node.dra.cdi_devices(pod, self._spec)
        given = await self._node.devices.start(pod, self._spec)
        request = ContainerRequest(
            pod=pod,
            container=self._spec,
            devices=(*claimed, *given.cdi),
            attempt=self.record.attempt,
            address=self._node.address,
            additions=given.additions,
        )
        self._container = await self._node.runtime.start(request)
        self.record = self.record.runs(self._container.id, self._container.started_at)
        self.begun.set()

    async def _not_created(self, error: ContainerError | DraError | DeviceError) -> None:
        reason = error.reason if isinstance(error, ContainerError) else "CreateContainerConfigError"
        self.record = self.record.waits(reason, str(error))
        await self._event("Warning", "Failed", f"Error: {error}")
        await self._side.publish()

    async def _not_started(self, error: StartError) -> None:
        """The container existed but its program did not: it ended, as the policy sees it."""
        now = self._node.clock.now()
        self.record = self.record.runs("", now).ends(128, now, error.reason, error.message)
        await self._event("Warning", "Failed", f"Error: {error}")

    def _ended(self, exit_code: int) -> None:
        self._container = None
        self.record = self.record.ends(exit_code, self._node.clock.now())

    async def _back_off(self, ended: Terminated) -> None:
        settings = self._node.settings
        if (ended.finished_at - ended.started_at).total_seconds() > settings.crash_reset:
            self._pause = 0.0
        if self._pause:
            await self._crash_loop()
            await self._node.clock.sleep(self._pause)
        longer = self._pause * 2 or settings.crash_backoff
        self._pause = min(longer, settings.crash_backoff_cap)

    async def _crash_loop(self) -> None:
        pod = self._side.pod()
        name = self.record.name
        where = f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
        words = (
            f"back-off {_go_duration(self._pause)} restarting failed container={name} pod={where}"
        )
        self.record = self.record.waits("CrashLoopBackOff", words)
        text = f"Back-off restarting failed container {name} in pod {where}"
        await self._event("Warning", "BackOff", text)
        await self._side.publish()

    async def _event(self, kind: str, reason: str, message: str) -> None:
        await self._node.events.record(self._side.pod(), kind, reason, message)


def _go_duration(seconds: float) -> str:
    """Whole seconds as Go prints a duration: `10s`, `2m40s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
