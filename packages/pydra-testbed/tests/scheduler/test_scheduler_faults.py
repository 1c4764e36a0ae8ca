from __future__ import annotations

import pytest


@pytest.fixture
async def waiting(cluster):
    """One free device, and a pod that can have it once the API server is well."""
    await cluster.slice("s1", ["d0"])
    await cluster.claim("c1")
    await cluster.calm()
    return cluster


async def test_a_conflict_is_retried_at_once(waiting):
    waiting.server.faults.fail("update", "resourceclaims", 409, times=2)
    waiting.server.faults.fail("update", "resourceclaims/status", 409)
    await waiting.pod("p1", "c1")
    await waiting.calm()
    assert await waiting.node_of("p1") == "n1"
    assert await waiting.condition("p1") is None


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_an_error_while_allocating_is_told_and_tried_again_after_a_pause(waiting, code):
    waiting.server.faults.fail("update", "resourceclaims/status", code, message="not now")
    await waiting.pod("p1", "c1")
    await waiting.calm()
    assert await waiting.condition("p1") == (
        "SchedulerError",
        (
            'running PreBind plugin "DynamicResources": add allocation and reservation to claim '
            "default/c1: not now"
        ),
    )
    await waiting.clock.advance(1)
    await waiting.calm()
    assert await waiting.node_of("p1") == "n1"


async def test_a_failed_binding_gives_the_reservation_back_and_keeps_the_devices(waiting):
    waiting.server.faults.fail("create", "pods/binding", 500)
    await waiting.pod("p1", "c1")
    await waiting.calm()
    claim = await waiting.get("resourceclaims", "c1")
    assert not claim["status"].get("reservedFor")
    assert await waiting.devices("c1") == ["d0"]
    await waiting.clock.advance(1)
    await waiting.calm()
    assert await waiting.node_of("p1") == "n1"
    claim = await waiting.get("resourceclaims", "c1")
    assert [consumer["name"] for consumer in claim["status"]["reservedFor"]] == ["p1"]


async def test_watches_that_break_or_expire_lose_nothing(waiting):
    for resource in ("pods", "resourceclaims", "resourceslices"):
        waiting.server.faults.fail("watch", resource, 410)
    waiting.server.faults.fail("list", "pods", 500, times=3)
    waiting.server.faults.drop_watches()
    await waiting.pod("p1", "c1")
    for _ in range(4):
        await waiting.clock.advance(2)
        await waiting.calm()
    assert await waiting.node_of("p1") == "n1"


async def test_a_pod_that_another_scheduler_bound_meanwhile_is_left_alone(waiting):
    waiting.server.faults.fail("create", "pods/binding", 409)
    await waiting.pod("p1", "c1")
    pod = await waiting.get("pods", "p1")
    target = {"metadata": {"name": "p1", "namespace": "default"}, "target": {"name": "n1"}}
    await waiting.calm()
    await waiting.api.create("pods/binding", target, "default")
    await waiting.calm()
    await waiting.clock.advance(5)
    await waiting.calm()
    assert pod["metadata"]["uid"] == (await waiting.get("pods", "p1"))["metadata"]["uid"]
    assert await waiting.condition("p1") is None
