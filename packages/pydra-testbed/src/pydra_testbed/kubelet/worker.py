"""The life of one pod on this node, from admission to its removal from the API.

One worker per pod UID, run as a task by `PodManager`. Its story is told in order: admit, prepare
claims, init containers, containers with restarts, sidecars beside them (KEP-753); at the end, or as soon as the pod is
to be deleted, stop, unprepare, report, remove. Cancelling the worker (the kubelet stops) leaves its containers, the API and
the claims as they are, for the next kubelet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial

from pydra_testbed.clock import rfc3339
from pydra_testbed.kubelet.admission import rejection, unallocated
from pydra_testbed.kubelet.containers import ContainerRunner, PodSide
from pydra_testbed.kubelet.context import NodeContext
from pydra_testbed.kubelet.deviceplugins import DeviceError, plugin_status
from pydra_testbed.kubelet.dra import DraError
from pydra_testbed.kubelet.health import resources_status
from pydra_testbed.kubelet.status import PodSituation, pod_status
from pydra_testbed.kubelet.statuswriter import PodStatusWriter
from pydra_testbed.kubelet.wakeup import Wakeup
from pydra_testbed.objects import KubeObject, key_of, uid_of
from pydra_testbed.runtime.waiting import first_of

_log = logging.getLogger(__name__)

_FINAL = ("Succeeded", "Failed")
_DEFAULT_GRACE = 30.0

# The shortest time between SIGTERM and SIGKILL, also for a pod that was deleted by force.
_LEAST_GRACE = 1.0


class PodWorker:
    """Runs one pod; told of changes by `changed` and `removed`.

    `others` counts the node's other pods that are not `over`: a pod is once its phase is final.
    """

    def __init__(self, pod: KubeObject, node: NodeContext, others: Callable[[], int]) -> None:
        self.pod = pod
        self._node = node
        self._others = others
        self._writer = PodStatusWriter(node.api, node.clock, pod)
        self._touched = Wakeup()
        self._ending = asyncio.Event()
        self.gone = False
        self._prepared = False
        self.over = (pod.get("status") or {}).get("phase") in _FINAL
        self._rejected: tuple[str, str] | None = None
        self._init = self._runners("initContainers", "initContainerStatuses")
        self._main = self._runners("containers", "containerStatuses")
        self._note_deletion()

    def changed(self, pod: KubeObject) -> bool:
        """The pod object is different; returns whether in a way that calls for `sync`."""
        before, self.pod = self.pod, pod
        self._note_deletion()
        return _user_part(before) != _user_part(pod)

    def removed(self) -> None:
        """The pod object is gone from the API."""
        self.gone = True
        self._ending.set()
        self._touched.ring()

    async def run(self) -> None:
        """Live the pod's life; returns when nothing of it is left on the node."""
        if not self.over:
            await self._allocate()
            if not self._ending.is_set():
                await first_of(self._live(), self._ending.wait())
            await self._stop()
        await self._unprepare()
        if not self.over:
            self.over = True
            await self._publish()
        await self._ending.wait()
        await self._writer.delete()

    def _is_taken_over(self) -> bool:
        """The pod's sandbox stands: a kubelet that comes back admits and prepares nothing again."""
        return any(runner.is_running for runner in (*self._init, *self._main))

    async def _allocate(self) -> None:
        """The first part of admission. Nothing stops it half way: a plugin has no call for giving devices back."""
        if self._ending.is_set() or self._is_taken_over():
            return
        try:
            await self._node.devices.admit(self.pod)
        except DeviceError as error:
            self._rejected = unallocated(error)

    async def _live(self) -> None:
        node = self._node
        if self._is_taken_over():
            self._prepared = True
            await self._run_containers()
            return
        self._rejected = self._rejected or rejection(
            self.pod, node.labels, self._others(), node.settings.max_pods
        )
        if self._rejected:
            await node.events.record(self.pod, "Warning", *self._rejected)
            return
        await self._publish()
        await self._prepare()
        await self._run_containers()

    async def _run_containers(self) -> None:
        """Until all but the sidecars have ended for good."""
        policy = str(self.pod["spec"].get("restartPolicy", "Always"))
        async with asyncio.TaskGroup() as beside:
            sidecars: list[asyncio.Task[None]] = []
            if await self._run_init(policy, lambda work: sidecars.append(beside.create_task(work))):
                async with asyncio.TaskGroup() as containers:
                    for runner in self._main:
                        containers.create_task(runner.run(policy))
            for task in sidecars:
                task.cancel()

    async def _run_init(
        self, policy: str, beside: Callable[[Coroutine[None, None, None]], None]
    ) -> bool:
        """One after the other; a sidecar is waited for until it has begun. Returns whether all went well."""
        for runner in self._init:
            if runner.is_sidecar:
                beside(runner.run("Always"))
                await runner.begun.wait()
                continue
            await runner.run("Never" if policy == "Never" else "OnFailure")
            if not runner.succeeded:
                return False
        return True

    async def _prepare(self) -> None:
        """Prepare the pod's claims; after a failure again at the resync, or when the pod is touched."""
        settings = self._node.settings
        while True:
            ticket = self._touched.ticket()
            try:
                await self._node.dra.prepare(self.pod)
            except DraError as error:
                text = f"Failed to prepare dynamic resources: {error}"
                await self._node.events.record(
                    self.pod, "Warning", "FailedPrepareDynamicResources", text
                )
            else:
                self._prepared = True
                return
            pause = self._node.jittered(settings.resync_period, settings.resync_jitter)
            await first_of(self._node.clock.sleep(pause), ticket.wait())

    async def _stop(self) -> None:
        """Sidecars last, in the opposite order, in what is left of the grace period."""
        clock = self._node.clock
        began = clock.monotonic()
        everything = (*self._main, *self._init)
        passing = (runner for runner in everything if not runner.is_sidecar)
        await asyncio.gather(*(runner.stop(self._grace) for runner in passing))
        for runner in reversed(self._init):
            if runner.is_sidecar:
                spent = clock.monotonic() - began
                await runner.stop(partial(self._rest, spent))

    def _rest(self, spent: float) -> float:
        return max(self._grace() - spent, _LEAST_GRACE)

    async def _unprepare(self) -> None:
        """Until this succeeds the pod stays, and with it the claim's reservation."""
        settings = self._node.settings
        while True:
            ticket = self._touched.ticket()
            try:
                await self._node.dra.unprepare(uid_of(self.pod))
            except DraError as error:
                extra = {"pod": key_of(self.pod), "error": str(error)}
                _log.warning("claims not unprepared, trying again", extra=extra)
            else:
                return
            pause = self._node.jittered(settings.sync_backoff, settings.sync_jitter)
            await first_of(self._node.clock.sleep(pause), ticket.wait())

    async def sync(self) -> None:
        """Whatever waits to be tried again is tried now, and the status is brought up to date."""
        self._touched.ring()
        if not self.over:
            await self._publish()

    async def _publish(self) -> None:
        await self._writer.write(self._status)

    def _status(self, pod: KubeObject) -> KubeObject:
        situation = PodSituation(
            init=tuple(runner.record for runner in self._init),
            main=tuple(runner.record for runner in self._main),
            prepared=self._prepared,
            over=self.over,
            rejected=self._rejected,
            resources=self._resources(),
            sidecars=frozenset(r.record.name for r in self._init if r.is_sidecar),
        )
        return pod_status(pod, situation, self._node.address, rfc3339(self._node.clock.now()))

    def _resources(self) -> dict[str, list[KubeObject]]:
        """What each container's status says of its devices."""
        spec, dra = self.pod["spec"], self._node.dra
        found = {
            container["name"]: resources_status(
                (container.get("resources") or {}).get("claims") or (),
                lambda entry: dra.entry_devices(self.pod, entry),
                self._node.health,
            )
            for container in (*(spec.get("initContainers") or ()), *spec["containers"])
        }
        for container in spec["containers"]:
            held = self._node.devices.devices(uid_of(self.pod), container["name"])
            found[container["name"]] += plugin_status(held)
        return found

    def _grace(self) -> float:
        """Seconds between SIGTERM and SIGKILL; a later, shorter deletion shortens it."""
        if self.gone:
            return _LEAST_GRACE
        asked = self.pod["metadata"].get("deletionGracePeriodSeconds")
        if asked is None:
            asked = self.pod["spec"].get("terminationGracePeriodSeconds", _DEFAULT_GRACE)
        return max(float(asked), _LEAST_GRACE)

    def _note_deletion(self) -> None:
        if self.pod["metadata"].get("deletionTimestamp"):
            self._ending.set()

    def _runners(self, field: str, statuses: str) -> tuple[ContainerRunner, ...]:
        reported = {s["name"]: s for s in (self.pod.get("status") or {}).get(statuses) or ()}
        side = PodSide(lambda: self.pod, self._publish, self._touched)
        return tuple(
            ContainerRunner(spec, reported.get(spec["name"]), side, self._node)
            for spec in self.pod["spec"].get(field) or ()
        )


def _user_part(pod: KubeObject) -> tuple[object, ...]:
    """What wakes a waiting worker when it changes: not the status, which the kubelet writes itself."""
    metadata = pod["metadata"]
    fields = ("labels", "annotations", "deletionTimestamp", "deletionGracePeriodSeconds")
    return (pod["spec"], *(metadata.get(field) for field in fields))
