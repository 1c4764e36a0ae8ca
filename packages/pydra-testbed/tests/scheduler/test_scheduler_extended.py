"""Extended resources that a class maps to devices: the scheduler's own claim for a pod."""

from __future__ import annotations

import pytest

from pydra_testbed.controllers import ClaimController, GarbageCollector
from pydra_testbed.scheduler import Scheduler

RESOURCE = "vendor.example/card"


@pytest.fixture
async def cards(make_cluster):
    """A node with two devices, and a class that calls them cards."""
    async with make_cluster() as cluster:
        await cluster.node()
        await cluster.create("deviceclasses", "gpu", {"extendedResourceName": RESOURCE})
        await cluster.slice("s1", ["d0", "d1"])
        yield cluster


async def pod(cluster, name, count="1", **more):
    container = {"name": "main", "image": "i", "resources": {"limits": {RESOURCE: count}}}
    await cluster.create("pods", name, {"containers": [container], **more})
    await cluster.calm()


async def special(cluster):
    return [claim["metadata"]["name"] for claim in await cluster.list("resourceclaims")]


async def test_a_pod_gets_devices_for_its_limits_and_its_status_says_which_request_serves_it(cards):
    await pod(cards, "p1", "2")
    (name,) = await special(cards)
    assert name.startswith("p1-extended-resources-")
    assert await cards.devices(name) == ["d0", "d1"]
    status = (await cards.get("pods", "p1"))["status"]["extendedResourceClaimStatus"]
    assert status["resourceClaimName"] == name
    assert status["requestMappings"] == [
        {
            "containerName": "main",
            "resourceName": RESOURCE,
            "requestName": "container-0-request-0",
        }
    ]


async def test_containers_that_run_one_after_the_other_share_devices(cards):
    def container(name, count):
        return {"name": name, "image": "i", "resources": {"limits": {RESOURCE: count}}}

    spec = {
        "initContainers": [container("first", "1"), container("second", "2")],
        "containers": [container("main", "1")],
    }
    await cards.create("pods", "p1", spec)
    await cards.calm()
    (name,) = await special(cards)
    requests = (await cards.get("resourceclaims", name))["spec"]["devices"]["requests"]
    assert [(r["name"], r["exactly"]["count"]) for r in requests] == [
        ("container-1-request-0", 1),
        ("container-2-request-0", 1),
    ]
    mappings = (await cards.get("pods", "p1"))["status"]["extendedResourceClaimStatus"]
    assert [(m["containerName"], m["requestName"]) for m in mappings["requestMappings"]] == [
        ("main", "container-2-request-0"),
        ("first", "container-2-request-0"),
        ("second", "container-2-request-0"),
        ("second", "container-1-request-0"),
    ]


async def test_a_node_that_advertises_the_resource_itself_gives_it_without_a_claim(cards):
    node = await cards.get("nodes", "n1")
    node["status"]["allocatable"] = {RESOURCE: "1"}
    await cards.api.update("nodes", node, "status")
    await pod(cards, "p1")
    assert await cards.node_of("p1") == "n1"
    assert await special(cards) == []
    await pod(cards, "p2")
    assert (await cards.condition("p2"))[1].startswith(
        f"0/1 nodes are available: 1 Insufficient {RESOURCE}. still not schedulable"
    )


async def test_a_failed_write_takes_the_claim_back_and_the_next_attempt_makes_a_new_one(cards):
    cards.server.faults.fail("create", "pods/binding", 500)
    await pod(cards, "p1")
    assert (await cards.condition("p1"))[0] == "SchedulerError"
    assert await special(cards) == []
    await cards.clock.advance(1)
    await cards.calm()
    assert await cards.node_of("p1") == "n1"
    assert len(await special(cards)) == 1


async def test_a_claim_of_an_earlier_scheduler_is_deleted_first(cards):
    await cards.create("pods", "p1", {"schedulingGates": [{"name": "wait"}], "containers": [
        {"name": "main", "image": "i", "resources": {"limits": {RESOURCE: "1"}}}
    ]})  # fmt: skip
    body = await cards.get("pods", "p1")
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p1", "controller": True}
    metadata = {
        "name": "p1-extended-resources-abcde",
        "namespace": "default",
        "annotations": {"resource.kubernetes.io/extended-resource-claim": "true"},
        "ownerReferences": [{**owner, "uid": body["metadata"]["uid"]}],
    }
    request = {"name": "container-0-request-0", "exactly": {"deviceClassName": "gpu"}}
    claim = {"metadata": metadata, "spec": {"devices": {"requests": [request]}}}
    await cards.api.create("resourceclaims", claim, "default")
    body["spec"].pop("schedulingGates")
    await cards.api.update("pods", body)
    await cards.calm()
    assert await special(cards) == []
    assert "deletion of ResourceClaim completed" in (await cards.condition("p1"))[1]
    await cards.clock.advance(1)
    await cards.calm()
    (name,) = await special(cards)
    assert await cards.devices(name) == ["d0"]


async def test_without_the_gate_the_resource_is_one_like_any_other(bare):
    def scheduler(api, clock):
        return Scheduler(api, clock, gates={"DRAExtendedResource": False})

    async with bare.running(scheduler, ClaimController, GarbageCollector) as cluster:
        await cluster.node()
        await cluster.create("deviceclasses", "gpu", {"extendedResourceName": RESOURCE})
        await cluster.slice("s1", ["d0"])
        await pod(cluster, "p1")
        message = (await cluster.condition("p1"))[1]
    assert message.startswith(f"0/1 nodes are available: 1 Insufficient {RESOURCE}.")


async def test_the_newest_of_several_classes_serves_then_the_first_by_name(cards):
    await cards.clock.advance(60)
    for name in ("bb", "aa"):
        await cards.create("deviceclasses", name, {"extendedResourceName": RESOURCE})
    await pod(cards, "p1")
    (name,) = await special(cards)
    requests = (await cards.get("resourceclaims", name))["spec"]["devices"]["requests"]
    assert requests[0]["exactly"]["deviceClassName"] == "aa"
