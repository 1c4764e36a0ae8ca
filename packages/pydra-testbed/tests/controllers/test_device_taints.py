"""Pods on devices with NoExecute taints."""

from __future__ import annotations

import pytest

from pydra_testbed.api import ApiServer
from pydra_testbed.controllers import ClaimController, DeviceTaintEviction
from pydra_testbed.scheduler import Scheduler

COMPONENT = "device-taint-eviction-controller"


async def taint(acting, effect="NoExecute", device="d0"):
    """Taint a device of slice s1, or with an empty effect take its taints away."""
    body = await acting.api.get("resourceslices", "s1")
    for entry in body["spec"]["devices"]:
        if entry["name"] == device:
            entry["taints"] = [{"key": "k", "effect": effect}] if effect else []
    await acting.api.update("resourceslices", body)


async def user(acting, name, *tolerations):
    """A pod with a claim of its own that has these tolerations."""
    given = {"tolerations": list(tolerations)} if tolerations else {}
    await acting.cluster.claim(f"c-{name}", given)
    await acting.cluster.pod(name, f"c-{name}")
    await acting.calm()


async def leaving(acting):
    pods = await acting.cluster.list("pods")
    return [p["metadata"]["name"] for p in pods if p["metadata"].get("deletionTimestamp")]


@pytest.fixture
async def devices(acting):
    await acting.cluster.node()
    await acting.cluster.slice("s1", ["d0", "d1"])
    return acting


async def test_a_tainted_device_loses_its_pod_and_others_keep_theirs(devices):
    await user(devices, "first")
    await user(devices, "second")
    await taint(devices)
    await devices.calm()
    assert await leaving(devices) == ["first"]
    pod = await devices.cluster.get("pods", "first")
    condition = next(c for c in pod["status"]["conditions"] if c["type"] == "DisruptionTarget")
    assert condition["reason"] == "DeletionByDeviceTaintManager"
    assert await devices.events(COMPONENT) == [
        ("DeviceTaintManagerEviction", "Marking for deletion")
    ]


async def test_a_tolerated_taint_waits_for_its_seconds_and_can_be_taken_back(devices):
    wait = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 20}
    await user(devices, "p", wait)
    await taint(devices)
    await devices.calm(19)
    assert await leaving(devices) == []
    await taint(devices, "")
    await devices.calm(60)
    assert await leaving(devices) == []
    assert await devices.events(COMPONENT) == [
        ("DeviceTaintManagerEviction", "Cancelling deletion")
    ]
    await taint(devices)
    await devices.calm(20)
    assert await leaving(devices) == ["p"]


@pytest.mark.parametrize(
    ("toleration", "goes"),
    [
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists", "effect": "NoExecute"}, True),
        ({"operator": "Exists"}, True),  # Enough for the scheduler, as in Kubernetes 1.36.
    ],
)
async def test_only_tolerations_of_the_effect_no_execute_keep_a_pod(devices, toleration, goes):
    await user(devices, "p", toleration)
    await taint(devices)
    await devices.calm()
    assert await leaving(devices) == (["p"] if goes else [])


async def test_a_taint_that_only_keeps_new_pods_away_evicts_nobody(devices):
    await user(devices, "p")
    await taint(devices, "NoSchedule")
    await devices.calm(40)
    assert await leaving(devices) == []


async def test_a_rule_evicts_and_reports_how_far_it_is(bare, make_acting):
    bare.server = ApiServer(
        bare.clock, gates={"DRADeviceTaintRules": True}, resource_versions=("v1", "v1beta2")
    )
    bare.api = bare.server.local
    async with bare.running(Scheduler, ClaimController, DeviceTaintEviction):
        acting = make_acting(bare)
        await bare.create("deviceclasses", "gpu", {})
        await bare.node()
        await bare.slice("s1", ["d0", "d1"])
        await user(acting, "p")
        await user(acting, "other")
        rule = {
            "deviceSelector": {"driver": "gpu.example.com", "pool": "n1", "device": "d0"},
            "taint": {"key": "k", "effect": "NoExecute"},
        }
        await bare.api.create("devicetaintrules", {"metadata": {"name": "r"}, "spec": rule})
        await acting.calm()
        assert await leaving(acting) == ["p"]
        await acting.calm(10)
        rule = await bare.api.get("devicetaintrules", "r")
        (condition,) = rule["status"]["conditions"]
        assert (condition["type"], condition["status"], condition["reason"]) == (
            "EvictionInProgress",
            "False",
            "Completed",
        )
        assert condition["message"] == "1 pod evicted since starting the controller."
