from __future__ import annotations

import asyncio
import copy
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from pydra_testbed.api import ApiServer
from pydra_testbed.clock import ManualClock
from pydra_testbed.controllers import ClaimController, GarbageCollector
from pydra_testbed.objects import ApiStatusError, ObjectRef, Selection
from pydra_testbed.scheduler import Scheduler

DRIVER = "gpu.example.com"
_CALM_ROUNDS = 30


class Cluster:
    """An API server with scheduler and controllers on a clock that stands still."""

    def __init__(self, gates=None) -> None:
        self.clock = ManualClock()
        self.server = ApiServer(self.clock, gates=gates or {})
        self.api = self.server.local

    @asynccontextmanager
    async def running(self, *kinds):
        """Run these components until the block is left."""
        tasks = [asyncio.create_task(kind(self.api, self.clock).run()) for kind in kinds]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            for done in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(done, Exception):
                    raise done

    async def calm(self) -> None:
        """Return when nobody has written for a while; time does not pass."""
        version, rounds = None, 0
        while rounds < _CALM_ROUNDS:
            now = (await self.api.list("namespaces")).resource_version
            rounds = rounds + 1 if now == version else 0
            version = now
            await asyncio.sleep(0)

    async def create(self, resource, name, spec=None, *, namespace="", labels=None, **more):
        cluster_wide = {
            "nodes",
            "deviceclasses",
            "resourceslices",
            "namespaces",
            "devicetaintrules",
        }
        where = "" if resource in cluster_wide else namespace or "default"
        metadata = {"name": name, "labels": labels or {}}
        body = {"metadata": metadata | ({"namespace": where} if where else {})}
        body |= copy.deepcopy(({"spec": spec} if spec is not None else {}) | more)
        return await self.api.create(resource, body, where)

    async def node(self, name="n1", **labels):
        return await self.create(
            "nodes",
            name,
            labels={"kubernetes.io/hostname": name, **labels},
            status={"conditions": [{"type": "Ready", "status": "True"}]},
        )

    async def slice(self, name, devices, *, node="n1", pool="", count=1):
        spec = {
            "driver": DRIVER,
            "nodeName": node,
            "pool": {"name": pool or node, "generation": 1, "resourceSliceCount": count},
            "devices": [{"name": d} if isinstance(d, str) else d for d in devices],
        }
        return await self.create("resourceslices", name, spec)

    async def claim(self, name, *requests, **spec):
        exact = [
            r if "name" in r else {"name": f"r{i}", "exactly": {"deviceClassName": "gpu", **r}}
            for i, r in enumerate(requests or ({},))
        ]
        return await self.create("resourceclaims", name, {"devices": {"requests": exact, **spec}})

    async def template(self, name="t", **request):
        exact = {"name": "r", "exactly": {"deviceClassName": "gpu", **request}}
        spec = {"spec": {"devices": {"requests": [exact]}}}
        return await self.create("resourceclaimtemplates", name, spec)

    async def pod(self, name, *claims, template="", **spec):
        entries = [{"name": f"e{i}", "resourceClaimName": c} for i, c in enumerate(claims)]
        if template:
            entries.append({"name": "a", "resourceClaimTemplateName": template})
        container = {"name": "c", "image": "i"}
        return await self.create(
            "pods", name, {"containers": [container], "resourceClaims": entries, **spec}
        )

    @asynccontextmanager
    async def history(self, resource):
        """The versions of objects that appear within the block, as a growing list."""
        seen = []

        async def watch(version):
            async for event in self.api.watch(resource, resource_version=version):
                note(event)

        def note(event):
            if event.type != "BOOKMARK":
                seen.append(event)

        listed = await self.api.list(resource)
        watching = asyncio.create_task(watch(listed.resource_version))
        try:
            yield seen
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def get(self, resource, name, namespace="default"):
        """The object, or None when there is none."""
        cluster_wide = {"nodes", "deviceclasses", "resourceslices"}
        try:
            return await self.api.get(resource, name, "" if resource in cluster_wide else namespace)
        except ApiStatusError as problem:
            if problem.code == 404:
                return None
            raise

    async def list(self, resource, namespace="default"):
        return (await self.api.list(resource, Selection(namespace))).items

    async def devices(self, claim, namespace="default"):
        """Names of the devices a claim got, None while it has none."""
        found = await self.get("resourceclaims", claim, namespace)
        allocation = found.get("status", {}).get("allocation")
        return allocation and [r["device"] for r in allocation["devices"].get("results", [])]

    async def node_of(self, pod):
        return (await self.get("pods", pod))["spec"].get("nodeName")

    async def condition(self, pod):
        """Reason and message of PodScheduled=False, None without it."""
        found = await self.get("pods", pod)
        for entry in found.get("status", {}).get("conditions", []):
            if entry["type"] == "PodScheduled" and entry["status"] == "False":
                return entry["reason"], entry["message"]
        return None

    async def finish(self, pod, phase="Succeeded"):
        body = await self.get("pods", pod)
        body["status"]["phase"] = phase
        await self.api.update("pods", body, "status")

    async def delete(self, resource, name, *, grace=None, namespace="default"):
        cluster_wide = {"nodes", "deviceclasses", "resourceslices"}
        where = "" if resource in cluster_wide else namespace
        await self.api.delete(ObjectRef(resource, name, where), grace)


@pytest.fixture
def bare() -> Cluster:
    """No component runs."""
    return Cluster()


@pytest.fixture
async def cluster():
    """Scheduler and controllers run; there is one node `n1` and a class `gpu` for everything."""
    async with AsyncExitStack() as stack:
        made = Cluster()
        await stack.enter_async_context(made.running(Scheduler, ClaimController, GarbageCollector))
        await made.create("deviceclasses", "gpu", {})
        await made.node()
        yield made


@pytest.fixture
def make_cluster():
    """Makes clusters with everything running and nothing in them."""

    @asynccontextmanager
    async def make():
        async with Cluster().running(Scheduler, ClaimController, GarbageCollector) as made:
            yield made

    return make
