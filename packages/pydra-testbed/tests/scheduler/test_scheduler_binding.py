"""Devices that get ready only after they are allocated: the pod waits, and what happens when it waits in vain."""

from __future__ import annotations

import pytest

BOUND = {"bindingConditions": ["ready"], "bindingFailureConditions": ["failed"]}


@pytest.fixture
async def waiting(cluster):
    """A pod whose only device has to get ready first."""
    await cluster.slice("s1", [{"name": "d0", **BOUND}])
    await cluster.claim("c1")
    await cluster.pod("p1", "c1")
    await cluster.calm()
    return cluster


async def report(cluster, condition, device="d0", claim="c1"):
    """What a driver writes about its device."""
    body = await cluster.get("resourceclaims", claim)
    stamp = "2026-01-01T00:00:00Z"
    body["status"]["devices"] = [
        {
            "driver": "gpu.example.com",
            "pool": "n1",
            "device": device,
            "conditions": [
                {
                    "type": condition,
                    "status": "True",
                    "reason": "Wired",
                    "message": "so it is",
                    "lastTransitionTime": stamp,
                }
            ],
        }
    ]
    await cluster.api.update("resourceclaims", body, "status")


async def pass_time(cluster, seconds):
    await cluster.clock.advance(seconds)
    await cluster.calm()


async def events(cluster):
    return [(event["reason"], event["message"]) for event in await cluster.list("events")]


async def test_the_claim_is_allocated_and_the_pod_waits(waiting):
    assert await waiting.devices("c1") == ["d0"]
    assert await waiting.node_of("p1") is None
    assert await waiting.condition("p1") is None
    assert await events(waiting) == [
        ("BindingConditionsPending", "waiting for binding conditions for device on node n1")
    ]


async def test_the_pod_is_bound_at_the_next_look_after_the_device_is_ready(waiting):
    await pass_time(waiting, 1)
    await report(waiting, "ready")
    await pass_time(waiting, 3.9)
    assert await waiting.node_of("p1") is None
    await pass_time(waiting, 0.2)
    assert await waiting.node_of("p1") == "n1"


async def test_others_are_scheduled_meanwhile(waiting):
    await waiting.node("n2")
    await waiting.slice("s2", ["d1"], node="n2")
    await waiting.claim("c2")
    await waiting.pod("p2", "c2")
    await waiting.calm()
    assert await waiting.node_of("p2") == "n2"
    assert await waiting.node_of("p1") is None


async def test_a_device_that_fails_gives_the_reservation_back_and_then_the_allocation(waiting):
    await report(waiting, "failed")
    await pass_time(waiting, 5)
    reason, message = await waiting.condition("p1")
    assert reason == "SchedulerError"
    assert message == (
        'running PreBind plugin "DynamicResources": claim c1 binding failed: '
        'reason=Wired, message="so it is"'
    )
    claim = await waiting.get("resourceclaims", "c1")
    assert "reservedFor" not in claim["status"]
    assert await waiting.devices("c1") == ["d0"]
    async with waiting.history("resourceclaims") as claims:
        await pass_time(waiting, 1)
    states = [bool(event.object["status"].get("allocation")) for event in claims]
    assert states[0] is False
    assert states[-1] is True
    assert "devices" not in claims[-1].object["status"]
    assert (await events(waiting))[-1][0] == "BindingConditionsPending"


async def test_after_ten_minutes_waiting_is_over(waiting):
    await pass_time(waiting, 600)
    reason, message = await waiting.condition("p1")
    assert (reason, message) == (
        "SchedulerError",
        'running PreBind plugin "DynamicResources": device binding timeout',
    )


async def test_a_pod_that_goes_meanwhile_is_not_bound(waiting):
    await waiting.delete("pods", "p1", grace=0)
    await waiting.calm()
    await report_nothing(waiting)
    await pass_time(waiting, 10)
    assert await waiting.get("pods", "p1") is None
    assert await waiting.devices("c1") is None


async def report_nothing(cluster):
    claim = await cluster.get("resourceclaims", "c1")
    assert "allocation" not in claim["status"]
