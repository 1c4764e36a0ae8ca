"""What the scheduler does with gates that are off in Kubernetes 1.36."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from pydra_testbed.api import ApiServer
from pydra_testbed.controllers import ClaimController
from pydra_testbed.scheduler import Scheduler

RULES = {"DRADeviceTaintRules": True}


@pytest.fixture
def cluster_with(bare):
    """Runs a cluster with one node and one class, its gates set."""

    @asynccontextmanager
    async def run(gates, **more):
        versions = ("v1", "v1beta2", "v1beta1", "v1alpha3")
        bare.server = ApiServer(bare.clock, gates=gates, resource_versions=versions)
        bare.api = bare.server.local

        def scheduler(api, clock):
            return Scheduler(api, clock, gates=gates, **more)

        async with bare.running(scheduler, ClaimController) as cluster:
            await cluster.node()
            await cluster.create("deviceclasses", "gpu", {})
            yield cluster

    return run


async def rule(cluster, name, **selector):
    taint = {"key": "broken", "effect": "NoSchedule"}
    body = {"metadata": {"name": name}, "spec": {"taint": taint, "deviceSelector": selector}}
    await cluster.api.create("devicetaintrules", body)


async def test_a_rule_keeps_pods_off_the_devices_it_selects_until_it_goes(cluster_with):
    async with cluster_with(RULES) as cluster:
        await cluster.slice("s1", ["d0", "d1"])
        await rule(cluster, "r1", device="d0")
        await cluster.claim("c1")
        await cluster.pod("p1", "c1")
        await cluster.calm()
        assert await cluster.devices("c1") == ["d1"]
        await cluster.claim("c2")
        await cluster.pod("p2", "c2")
        await cluster.calm()
        assert await cluster.node_of("p2") is None
        await cluster.api.delete(ref("devicetaintrules", "r1"), None)
        await cluster.clock.advance(1)
        await cluster.calm()
        assert await cluster.devices("c2") == ["d0"]


def ref(resource, name):
    from pydra_testbed.objects import ObjectRef

    return ObjectRef(resource, name, "")


async def test_a_rule_for_another_driver_without_match_or_without_selector_changes_nothing(
    cluster_with,
):
    async with cluster_with(RULES) as cluster:
        await cluster.slice("s1", ["d0"])
        await rule(cluster, "r1", driver="nic.example.com")
        await rule(cluster, "r2", pool="n1", device="d7")
        taint = {"key": "broken", "effect": "NoSchedule"}
        await cluster.create("devicetaintrules", "r3", {"taint": taint})
        await cluster.claim("c1")
        await cluster.pod("p1", "c1")
        await cluster.calm()
        assert await cluster.devices("c1") == ["d0"]


async def test_selectors_see_list_attributes(cluster_with):
    async with cluster_with({"DRAListTypeAttributes": True}) as cluster:
        lists = [{"tags": {"strings": ["a"]}}, {"tags": {"strings": ["b", "c"]}}]
        devices = [{"name": f"d{i}", "attributes": tags} for i, tags in enumerate(lists)]
        await cluster.slice("s1", devices)
        expression = 'device.attributes["gpu.example.com"].tags.exists(t, t == "c")'
        await cluster.claim("c1", {"selectors": [{"cel": {"expression": expression}}]})
        await cluster.pod("p1", "c1")
        await cluster.calm()
        assert await cluster.devices("c1") == ["d1"]


async def test_dice_choose_among_equally_good_nodes_only(cluster_with):
    rolls = []

    def dice(pod, nodes):
        rolls.append((pod["metadata"]["name"], list(nodes)))
        return nodes[-1]

    async with cluster_with({}, dice=dice) as cluster:
        for name in ("n2", "n3"):
            await cluster.node(name)
        for name in ("n1", "n3"):
            await cluster.slice(f"s-{name}", ["d0"], node=name)
        await cluster.claim("c1")
        await cluster.pod("p1", "c1")
        await cluster.calm()
        assert await cluster.node_of("p1") == "n3"
    assert rolls == [("p1", ["n1", "n3"])]
