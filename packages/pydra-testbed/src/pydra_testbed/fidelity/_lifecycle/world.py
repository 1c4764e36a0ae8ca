"""A cluster on a manual clock for one record: API server, scheduler, controllers, no kubelet; and its watchers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydra_testbed.api import ApiServer
from pydra_testbed.cel import complaint
from pydra_testbed.clock import ManualClock
from pydra_testbed.controllers import ALL
from pydra_testbed.fidelity._lifecycle.bodies import Story
from pydra_testbed.fidelity._lifecycle.naming import Names
from pydra_testbed.fidelity._lifecycle.timeline import PROJECTIONS
from pydra_testbed.objects import KubeObject, ObjectRef, Patch, Selection, WatchEvent
from pydra_testbed.runtime.waiting import cancel_all
from pydra_testbed.scheduler import Scheduler

# So many rounds of the loop without a write mean that everybody has finished.
_CALM = 30
_ADMIN = "resource.kubernetes.io/admin-access"


class World:
    """What one record happens in."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self.clock = ManualClock()
        self.server = ApiServer(self.clock, cel_check=complaint)
        self.api = self.server.local
        self.names = Names(story.timeline)
        self._seen: list[tuple[str, WatchEvent]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        """Set up, run all components and watch, until the block is left."""
        await self._set_up()
        parts = [part(self.api, self.clock).run() for part in (Scheduler, *ALL)]
        tasks = [asyncio.ensure_future(part) for part in parts]
        tasks += [asyncio.ensure_future(self._watch(resource)) for resource in PROJECTIONS]
        try:
            await self._calm()
            yield self
        finally:
            await cancel_all(*tasks)

    async def until(self, moment: float) -> None:
        """Let time pass up to `moment`, seconds since the start."""
        await self._calm()
        await self.clock.advance(max(moment - self.clock.monotonic(), 0.0))
        await self._calm()

    def timeline(self) -> list[KubeObject]:
        """What the watches brought, in the form of a recording."""
        return [
            self.names.value({"kind": kind, "event": event.type, **project(event.object)})
            for resource, event in self._seen
            for kind, project in (PROJECTIONS[resource],)
        ]

    async def final(self) -> KubeObject:
        """Pods and claims as they stand."""
        return {
            name: [self.names.value(project(body)) for body in await self.all(resource)]
            for name, resource in (("pods", "pods"), ("claims", "resourceclaims"))
            for _, project in (PROJECTIONS[resource],)
        }

    async def all(self, resource: str) -> tuple[KubeObject, ...]:
        """The namespace's objects."""
        return (await self.api.list(resource, Selection(self._story.namespace))).items

    async def _set_up(self) -> None:
        setup, namespace = self._story.setup, self._story.namespace
        await self.api.create("namespaces", {"metadata": {"name": namespace}})
        label = Patch({"metadata": {"labels": {_ADMIN: "true"}}})
        await self.api.patch(ObjectRef("namespaces", namespace), label)
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        labels = {"kubernetes.io/hostname": setup["node"]}
        node = {"metadata": {"name": setup["node"], "labels": labels}, "status": ready}
        await self.api.create("nodes", node)
        for resource, field in (("deviceclasses", "deviceClasses"), ("resourceslices", "slices")):
            for made in setup.get(field) or ():
                body = {"metadata": {"name": made["name"]}, "spec": made["spec"]}
                await self.api.create(resource, body)
        for made in setup.get("claimTemplates") or ():
            body = {"metadata": {"name": made["name"]}, "spec": made["spec"]}
            await self.api.create("resourceclaimtemplates", body, namespace)

    async def _watch(self, resource: str) -> None:
        async for event in self.api.watch(resource, Selection(self._story.namespace)):
            if event.type == "ADDED":
                self.names.note(resource, event.object)
            if event.type != "BOOKMARK":
                self._seen.append((resource, event))

    async def _calm(self) -> None:
        """Return when nobody has written for a while; time stands still."""
        version, rounds = "", 0
        while rounds < _CALM:
            now = (await self.api.list("namespaces")).resource_version
            rounds = rounds + 1 if now == version else 0
            version = now
            await asyncio.sleep(0)
