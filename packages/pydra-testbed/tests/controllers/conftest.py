from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from pydra_testbed.controllers import ALL
from pydra_testbed.scheduler import Scheduler

LABELS = {"app": "a"}


class Actions:
    """What a kubelet or a user would do, besides what the cluster fixture offers."""

    def __init__(self, cluster) -> None:
        self.cluster = cluster
        self.api = cluster.api

    async def calm(self, seconds=0.0) -> None:
        if seconds:
            await self.cluster.calm()
            await self.cluster.clock.advance(seconds)
        await self.cluster.calm()

    async def workload(self, resource, name="w", image="one", container=None, **spec):
        """A Deployment, ReplicaSet or DaemonSet."""
        template = {
            "metadata": {"labels": LABELS},
            "spec": {"containers": [{"name": "c", "image": image, **(container or {})}]},
        }
        body = {"selector": {"matchLabels": LABELS}, "template": template, **spec}
        return await self.cluster.create(resource, name, body)

    async def set_image(self, resource, image, name="w", **spec):
        body = await self.cluster.get(resource, name)
        body["spec"]["template"]["spec"]["containers"][0]["image"] = image
        body["spec"]["template"]["spec"] |= spec
        await self.api.update(resource, body)

    async def pods(self):
        """Node or None, and image, of all pods that stay."""
        return sorted(
            (pod["spec"].get("nodeName") or "", pod["spec"]["containers"][0]["image"])
            for pod in await self.cluster.list("pods")
            if not pod["metadata"].get("deletionTimestamp")
        )

    async def play_kubelet(self, *, ready=True):
        """Every bound pod becomes ready, every one that is to go goes."""
        await self.calm()
        since = self.cluster.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        for pod in await self.cluster.list("pods"):
            name = pod["metadata"]["name"]
            if pod["metadata"].get("deletionTimestamp"):
                await self.cluster.delete("pods", name, grace=0)
            elif pod["spec"].get("nodeName") and pod["status"]["phase"] == "Pending" and ready:
                condition = {"type": "Ready", "status": "True", "lastTransitionTime": since}
                pod["status"]["conditions"].append(condition)
                pod["status"]["phase"] = "Running"
                await self.api.update("pods", pod, "status")
        await self.calm()

    async def status(self, resource, name="w"):
        return (await self.cluster.get(resource, name)).get("status") or {}

    async def events(self, component):
        return [
            (event["reason"], event["message"])
            for event in await self.cluster.list("events")
            if event["source"]["component"] == component
        ]

    async def lease(self, node="n1"):
        spec = {"holderIdentity": node, "leaseDurationSeconds": 40}
        await self.cluster.create("leases", node, spec, namespace="kube-node-lease")


@pytest.fixture
async def acting(bare):
    """Scheduler and all controllers on a cluster with a class `gpu`; no kubelet."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(bare.running(Scheduler, *ALL))
        await bare.create("deviceclasses", "gpu", {})
        yield Actions(bare)


@pytest.fixture
def make_acting():
    """Makes `Actions` for a cluster that a test put together itself."""
    return Actions
