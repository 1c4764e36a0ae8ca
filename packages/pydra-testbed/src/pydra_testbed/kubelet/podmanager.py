"""Which pods this node runs: one worker for each pod bound to it.

Fed by the kubelet's watch on pods. Also sweeps claims of pods that vanished while no kubelet looked.
"""

from __future__ import annotations

import asyncio
import logging

from pydra_testbed.kubelet.context import NodeContext
from pydra_testbed.kubelet.dra import DraError
from pydra_testbed.kubelet.worker import PodWorker
from pydra_testbed.objects import KubeObject, key_of, uid_of

_log = logging.getLogger(__name__)


class PodManager:
    """Starts and informs the workers; all of them are tasks of `tasks`."""

    def __init__(self, tasks: asyncio.TaskGroup, node: NodeContext) -> None:
        self._tasks = tasks
        self._node = node
        self._workers: dict[str, PodWorker] = {}
        self._finished: set[str] = set()
        self._synced = asyncio.Event()

    def changed(self, pod: KubeObject) -> None:
        """A pod of this node appeared or is different."""
        uid = uid_of(pod)
        worker = self._workers.get(uid)
        if worker is not None:
            worker.changed(pod)
        elif uid not in self._finished:
            self._workers[uid] = PodWorker(pod, self._node, lambda: len(self._workers) - 1)
            self._tasks.create_task(self._run(uid, self._workers[uid]))

    def removed(self, pod: KubeObject) -> None:
        """A pod of this node is gone from the API."""
        uid = uid_of(pod)
        if uid in self._finished:
            self._finished.discard(uid)
            self._forget(pod)
        elif uid in self._workers:
            self._workers[uid].removed()

    def synced(self) -> None:
        """All pods of this node are known, so a pod that is not is gone."""
        self._synced.set()

    async def sweep(self) -> None:
        """Every 60 s, unprepare claims whose pods are not on this node any more; until cancelled."""
        await self._synced.wait()
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
