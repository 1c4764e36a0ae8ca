from __future__ import annotations

import copy

import pytest

from pydra_testbed.controllers import ClaimController

FINALIZER = "resource.kubernetes.io/delete-protection"


@pytest.fixture
async def ready(cluster):
    """Two devices and a template."""
    await cluster.slice("s1", ["d0", "d1"])
    await cluster.template(selectors=[{"cel": {"expression": "true"}}])
    return cluster


async def the_claim(cluster):
    claims = await cluster.list("resourceclaims")
    assert len(claims) == 1
    return claims[0]


async def time_passes(cluster):
    for _ in range(6):
        await cluster.calm()
        await cluster.clock.advance(1)


def allocated(event):
    status = event.object["status"]
    return (
        event.type,
        bool(status.get("allocation")),
        bool(event.object["metadata"].get("finalizers")),
    )


async def test_a_template_becomes_a_claim_that_the_pod_owns_and_names(ready):
    pod = await ready.pod("p1", template="t")
    await ready.calm()
    claim = await the_claim(ready)
    metadata = claim["metadata"]
    prefix, _, suffix = metadata["name"].rpartition("-")
    assert (prefix, len(suffix)) == ("p1-a", 5)
    assert metadata["generateName"] == "p1-a-"
    assert metadata["annotations"] == {"resource.kubernetes.io/pod-claim-name": "a"}
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "p1",
            "uid": pod["metadata"]["uid"],
            "controller": True,
        }
    ]
    assert claim["spec"]["devices"]["requests"][0]["exactly"]["selectors"]
    pod = await ready.get("pods", "p1")
    assert pod["status"]["resourceClaimStatuses"] == [
        {"name": "a", "resourceClaimName": metadata["name"]}
    ]
    assert pod["spec"]["nodeName"] == "n1"


async def test_long_names_are_cut_in_proportion(ready):
    entry = {"name": "c" * 63, "resourceClaimTemplateName": "t"}
    container = {"name": "c", "image": "i"}
    spec = {"containers": [container], "resourceClaims": [entry]}
    await ready.create("pods", "p" * 200, spec)
    await ready.calm()
    name = (await the_claim(ready))["metadata"]["name"]
    assert name[:-5] == "p" * 43 + "-" + "c" * 13


async def test_a_pod_waits_for_its_template(cluster):
    await cluster.slice("s1", ["d0"])
    await cluster.pod("p1", template="t")
    await cluster.calm()
    assert await cluster.list("resourceclaims") == ()
    await cluster.template()
    await cluster.calm()
    assert await cluster.node_of("p1") == "n1"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_the_claim_of_a_pod_that_is_done_goes_while_the_pod_stays(ready, phase):
    await ready.pod("p1", template="t")
    await ready.calm()
    async with ready.history("resourceclaims") as seen:
        await ready.finish("p1", phase)
        await ready.calm()
    assert [allocated(event) for event in seen] == [
        ("MODIFIED", False, True),
        ("MODIFIED", False, False),
        ("DELETED", False, False),
    ]
    assert await ready.get("pods", "p1") is not None


async def test_a_named_claim_is_released_and_stays(ready):
    await ready.claim("c1")
    await ready.pod("p1", "c1")
    await ready.calm()
    async with ready.history("resourceclaims") as seen:
        await ready.finish("p1")
        await ready.calm()
    assert [allocated(event) for event in seen] == [
        ("MODIFIED", False, True),
        ("MODIFIED", False, False),
    ]
    assert "reservedFor" not in (await ready.get("resourceclaims", "c1"))["status"]


async def test_release_waits_until_a_deleted_pod_is_gone(ready):
    await ready.pod("p1", template="t")
    await ready.calm()
    await ready.delete("pods", "p1")
    await ready.calm()
    assert (await the_claim(ready))["status"]["reservedFor"]
    await ready.delete("pods", "p1", grace=0)
    await ready.calm()
    assert await ready.list("resourceclaims") == ()


async def test_a_released_device_wakes_the_next_pod(ready):
    for number in range(3):
        await ready.pod(f"p{number}", template="t")
    await ready.calm()
    assert await ready.node_of("p2") is None
    await ready.finish("p0")
    await ready.calm()
    await ready.clock.advance(1)
    await ready.calm()
    assert await ready.node_of("p2") == "n1"


async def test_a_claim_deleted_while_in_use_waits_for_the_pod(ready):
    await ready.claim("c1")
    await ready.pod("p1", "c1")
    await ready.calm()
    await ready.delete("resourceclaims", "c1")
    await ready.calm()
    assert await ready.devices("c1") == ["d0"]
    await ready.finish("p1")
    await ready.calm()
    assert await ready.get("resourceclaims", "c1") is None


async def test_a_claim_keeps_its_devices_until_its_last_pod_is_done(ready):
    await ready.claim("c1")
    for name in ("p1", "p2"):
        await ready.pod(name, "c1")
        await ready.calm()
    await ready.finish("p1")
    await ready.calm()
    claim = await ready.get("resourceclaims", "c1")
    assert [consumer["name"] for consumer in claim["status"]["reservedFor"]] == ["p2"]
    assert await ready.devices("c1") == ["d0"]
    await ready.finish("p2")
    await ready.calm()
    assert await ready.devices("c1") is None


async def test_consumers_that_are_no_pods_are_left_alone_and_ghosts_are_removed(ready):
    await ready.claim("c1")
    await ready.pod("p1", "c1")
    await ready.calm()
    claim = await ready.get("resourceclaims", "c1")
    other = {"apiGroup": "example.com", "resource": "things", "name": "t", "uid": "u1"}
    ghost = {"resource": "pods", "name": "ghost", "uid": "u2"}
    claim["status"]["reservedFor"] += [other, ghost]
    await ready.api.update("resourceclaims", claim, "status")
    await ready.calm()
    claim = await ready.get("resourceclaims", "c1")
    assert [consumer["name"] for consumer in claim["status"]["reservedFor"]] == ["p1", "t"]


async def test_an_allocation_made_by_others_without_reservation_is_left_alone(ready):
    claim = await ready.claim("c1")
    result = {"request": "r0", "driver": "gpu.example.com", "pool": "n1", "device": "d0"}
    claim["status"] = {"allocation": {"devices": {"results": [result]}}}
    await ready.api.update("resourceclaims", claim, "status")
    await ready.calm()
    assert await ready.devices("c1") == ["d0"]


async def test_a_pod_placed_without_the_scheduler_is_reserved_in_an_allocated_claim(ready):
    await ready.claim("c1")
    await ready.pod("p1", "c1")
    await ready.calm()
    await ready.pod("p2", "c1", nodeName="n1")
    await ready.calm()
    claim = await ready.get("resourceclaims", "c1")
    assert [consumer["name"] for consumer in claim["status"]["reservedFor"]] == ["p1", "p2"]


async def test_a_completed_pod_is_not_reserved_again(ready):
    await ready.claim("c1")
    await ready.pod("p1", "c1")
    await ready.calm()
    await ready.finish("p1")
    await ready.calm()
    await ready.pod("p2", "c1")
    await ready.calm()
    claim = await ready.get("resourceclaims", "c1")
    assert [consumer["name"] for consumer in claim["status"]["reservedFor"]] == ["p2"]


async def test_a_deleted_template_claim_of_a_pending_pod_is_not_made_again(ready):
    await ready.template("big", count=9)
    await ready.pod("p1", template="big")
    await ready.calm()
    await ready.delete("resourceclaims", (await the_claim(ready))["metadata"]["name"])
    await ready.calm()
    assert await ready.list("resourceclaims") == ()


async def test_a_pending_pod_that_is_deleted_takes_its_claim_along(ready):
    await ready.template("big", count=9)
    await ready.pod("p1", template="big")
    await ready.calm()
    await ready.delete("pods", "p1")
    await ready.calm()
    assert await ready.list("resourceclaims") == ()


async def test_errors_of_the_api_server_are_outlived(ready):
    faults = ready.server.faults
    faults.fail("create", "resourceclaims", 500, times=2)
    faults.fail("update", "pods/status", 409, times=2)
    await ready.pod("p1", template="t")
    await time_passes(ready)
    assert await ready.node_of("p1") == "n1"
    faults.fail("update", "resourceclaims/status", 503)
    faults.fail("update", "resourceclaims", 429)
    faults.fail("delete", "resourceclaims", 500)
    await ready.finish("p1")
    await time_passes(ready)
    assert await ready.list("resourceclaims") == ()


async def test_a_controller_that_starts_late_does_what_was_missed(bare):
    await bare.create("deviceclasses", "gpu", {})
    await bare.template()
    await bare.pod("p1", template="t")
    async with bare.running(ClaimController):
        await bare.calm()
    claim = await the_claim(bare)
    gone = copy.deepcopy(claim)
    gone["metadata"]["finalizers"] = [FINALIZER]
    gone = await bare.api.update("resourceclaims", gone)
    gone["status"]["reservedFor"] = [{"resource": "pods", "name": "p1", "uid": "another"}]
    gone["status"]["allocation"] = {"devices": {}}
    await bare.api.update("resourceclaims", gone, "status")
    async with bare.running(ClaimController):
        await bare.calm()
    left = (await the_claim(bare))["status"]
    assert "allocation" not in left
    assert "reservedFor" not in left
