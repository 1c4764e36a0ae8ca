"""Which pods this node runs: one worker for each pod bound to it.

Fed by the kubelet's watch on pods. Also sweeps claims of pods that vanished while no kubelet looked.
"""

from __future__ import annotations

import asyncio
import logging

from pydra_testbed.kubelet.context import NodeContext
from pydra_testbed.kubelet.dra import DraError
from pydra_testbed.kubelet.health import DeviceKey
from pydra_testbed.kubelet.wakeup import Gathered
from pydra_testbed.kubelet.worker import PodWorker
from pydra_testbed.objects import KubeObject, key_of, uid_of
from pydra_testbed.reflector import Change

_log = logging.getLogger(__name__)


class PodManager:
    """Starts and informs the workers; all of them are tasks of `tasks`."""

    def __init__(self, tasks: asyncio.TaskGroup, node: NodeContext) -> None:
        self._tasks = tasks
        self._node = node
        self._workers: dict[str, PodWorker] = {}
        self._finished: set[str] = set()

    def told(self, change: Change) -> None:
        """A pod of this node appeared, is different, or is gone."""
        if change.new is None:
            self._removed(change.object)
        else:
            self._changed(change.new)

    def health_changed(self, devices: set[DeviceKey]) -> None:
        """These devices are reported as something else: the pods that hold them are synced."""
        for uid, worker in self._workers.items():
            if self._node.dra.uses(uid, devices):
                self._tasks.create_task(worker.sync())

    async def follow(self, changed: Gathered) -> None:
        """Sync the pods that hold devices of plugins which are of another health now, until cancelled."""
        while True:
            for uid in await changed.take() & self._workers.keys():
                self._tasks.create_task(self._workers[uid].sync())

    def known(self) -> list[KubeObject]:
        """The pods of this node that are in the API."""
        return [worker.pod for worker in self._workers.values() if not worker.gone]

    def active(self) -> list[KubeObject]:
        """Those that are not over. A pod that was deleted by force is none of them while its processes still end."""
        there = (worker for worker in self._workers.values() if not worker.gone)
        return [worker.pod for worker in there if not worker.over]

    def _changed(self, pod: KubeObject) -> None:
        uid = uid_of(pod)
        worker = self._workers.get(uid)
        if worker is not None:
            if worker.changed(pod):
                self._tasks.create_task(worker.sync())
        elif uid not in self._finished:
            self._workers[uid] = PodWorker(pod, self._node, self._others)
            self._tasks.create_task(self._run(uid, self._workers[uid]))

    def _removed(self, pod: KubeObject) -> None:
        uid = uid_of(pod)
        if uid in self._finished:
            self._finished.discard(uid)
            self._forget(pod)
        elif uid in self._workers:
            self._workers[uid].removed()

    def _others(self) -> int:
        return sum(not worker.over for worker in self._workers.values()) - 1

    async def sweep(self, synced: asyncio.Event) -> None:
        """Every 60 s, unprepare claims whose pods are not on this node any more; until cancelled.

        Not before all pods of the node are known (`synced`).
        """
        await synced.wait()
        while True:
            await self._node.clock.sleep(self._node.settings.claims_period)
            for uid in self._node.dra.pods() - self._workers.keys():
                await self._unprepare(uid)

    async def _unprepare(self, uid: str) -> None:
        try:
            await self._node.dra.unprepare(uid)
        except DraError as error:
            extra = {"pod_uid": uid, "error": str(error)}
            _log.warning("claims of a vanished pod not unprepared, trying again", extra=extra)
        else:
            _log.info("claims of a vanished pod unprepared", extra={"pod_uid": uid})

    async def _run(self, uid: str, worker: PodWorker) -> None:
        await worker.run()
        del self._workers[uid]
        if worker.gone:
            self._forget(worker.pod)
        else:
            self._finished.add(uid)

    def _forget(self, pod: KubeObject) -> None:
        self._node.runtime.forget_pod(pod)
        self._node.events.forget(pod)
        _log.info("pod left the node", extra={"pod": key_of(pod)})
