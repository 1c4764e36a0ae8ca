"""One API server with scheduler and controllers on a clock that stands still, for one scenario."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pydra_testbed.api import ApiServer
from pydra_testbed.clock import ManualClock
from pydra_testbed.controllers import ClaimController, DeviceTaintEviction, GarbageCollector
from pydra_testbed.objects import ApiStatusError, KubeObject, ObjectRef, Selection, name_of
from pydra_testbed.scheduler import Dice, Scheduler

_CALM_ROUNDS = 30
_NOT_FOUND = 404
_VERSIONS = ("v1", "v1beta2", "v1beta1", "v1alpha3")
_CLUSTER_WIDE = frozenset({"nodes", "deviceclasses", "resourceslices", "devicetaintrules"})


class World:
    """The cluster of one scenario."""

    def __init__(self, gates: Mapping[str, bool], namespace: str) -> None:
        self.clock = ManualClock()
        self.namespace = namespace
        self._gates = dict(gates)
        self._server = ApiServer(self.clock, gates=self._gates, resource_versions=_VERSIONS)
        self.api = self._server.local

    @asynccontextmanager
    async def running(self, dice: Dice) -> AsyncIterator[World]:
        """Run scheduler and controllers until the block is left."""
        scheduler = Scheduler(self.api, self.clock, gates=self._gates, dice=dice)
        parts: list[Callable[[], Coroutine[Any, Any, None]]] = [
            scheduler.run,
            ClaimController(self.api, self.clock).run,
            GarbageCollector(self.api, self.clock).run,
        ]
        if self._gates.get("DRADeviceTaints", True):
            parts.append(DeviceTaintEviction(self.api, self.clock).run)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part()) for part in parts]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()

    async def calm(self, until: Callable[[], Coroutine[Any, Any, bool]] | None = None) -> None:
        """Return when nobody has written for a while, or `until` holds; time does not pass."""
        version, rounds = "", 0
        while rounds < _CALM_ROUNDS:
            now = (await self.api.list("namespaces")).resource_version
            rounds = rounds + 1 if now == version else 0
            if until is not None and rounds == 0 and await until():
                return
            version = now
            await asyncio.sleep(0)

    async def stop_pods(self) -> None:
        """What kubelets would do about pods that are being deleted: stop them, and let them go."""
        await self.calm()
        for pod in (await self.api.list("pods", Selection(self.namespace))).items:
            if pod["metadata"].get("deletionTimestamp"):
                await self.api.delete(ObjectRef("pods", name_of(pod), self.namespace), 0)
        await self.calm()

    async def make(self, resource: str, item: Mapping[str, Any], **more: Any) -> KubeObject:
        """Create an object from a record's `{name, spec}`."""
        metadata = {
            "name": item["name"],
            **({"namespace": ns} if (ns := self.home(resource)) else {}),
        }
        body: KubeObject = {"metadata": metadata, "spec": item.get("spec") or {}, **more}
        return await self.api.create(resource, body, self.home(resource))

    async def get(self, resource: str, name: str) -> KubeObject | None:
        """The object, or None when there is none."""
        try:
            return await self.api.get(resource, name, self.home(resource))
        except ApiStatusError as problem:
            if problem.code == _NOT_FOUND:
                return None
            raise

    def home(self, resource: str) -> str:
        """The namespace that objects of a resource go to."""
        return "" if resource in _CLUSTER_WIDE else self.namespace
