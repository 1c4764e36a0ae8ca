"""Pizzas for pods without claims: from this driver alone, beside claims, and for runtimes without CDI."""

from __future__ import annotations

import sys

import pytest
from legacy_pods import (
    HASTY,
    allocated,
    claiming,
    containers,
    given,
    offered,
    pod,
    taints,
    variables,
)
from nvidia_world import until

PIZZA = "kitchen.pizza.example/pizza"
ONLY = {"ENABLE_DRA": "false", "ENABLE_DEVICE_PLUGIN": "true"}
BOTH = {"ENABLE_DRA": "true", "ENABLE_DEVICE_PLUGIN": "true"}
COMMAND = [sys.executable, "-m", "pydra_pizza", "run"]
CLASS = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "metadata": {"name": "pizza"},
    "spec": {"selectors": [{"cel": {"expression": "device.driver == 'dra.pizza'"}}]},
}
MENU = ["bianca", "capricciosa", "diavola", "giardino", "margherita"]


async def test_without_claims_pods_get_whole_pizzas_and_the_last_one_waits(testbed):
    await testbed.plugin(COMMAND, PIZZA, environ=ONLY)
    await testbed.apply(pod("ada", PIZZA), pod("bob", PIZZA, 4), pod("eve", PIZZA))
    for name in ("ada", "bob"):
        await testbed.pod(name, "Running")
    had = await given(testbed)
    assert sorted((*had["ada"], *had["bob"])) == MENU
    told = variables(containers(testbed)["ada"])
    assert (told["PIZZA"], told["PIZZA_SLICES"]) == (had["ada"][0], "8")
    assert (await testbed.api.list("resourceslices")).items == ()
    await testbed.delete("pods", "ada")
    await testbed.pod("eve", "Running")
    assert (await given(testbed))["eve"] == had["ada"]


async def test_pods_get_what_claims_leave_and_claims_what_pods_leave(testbed):
    await testbed.driver(HASTY, environ=BOTH)
    await testbed.apply(CLASS, *claiming("first", "pizza"))
    await testbed.pod("first", "Running")
    assert await allocated(testbed, "first") == ["margherita"]
    await offered(testbed, PIZZA, 4)
    await testbed.apply(pod("bob", PIZZA, 4), pod("eve", PIZZA), *claiming("late", "pizza"))
    await testbed.pod("bob", "Running")
    rest = [name for name in MENU if name != "margherita"]
    assert (await given(testbed))["bob"] == rest
    found = await until(lambda: taints(testbed), lambda seen: sorted(seen) == rest)
    assert {*found.values()} == {"dra.pizza/device-plugin=pizza:NoSchedule"}


async def test_what_a_pod_had_goes_to_the_claim_that_waits_for_it(testbed):
    await testbed.driver(HASTY, environ=BOTH)
    await offered(testbed, PIZZA, 5)
    await testbed.apply(CLASS, pod("bob", PIZZA, 5))
    await testbed.pod("bob", "Running")
    await until(lambda: taints(testbed), lambda seen: sorted(seen) == MENU)
    await testbed.apply(*claiming("ada", "pizza"))
    await testbed.delete("pods", "bob")
    await testbed.pod("ada", "Running")
    assert await allocated(testbed, "ada") == ["margherita"]
    await offered(testbed, PIZZA, 4)


@pytest.mark.testbed(gates={"DRADeviceTaints": False}, clock="manual")
async def test_a_claim_that_comes_for_what_a_pod_has_waits_and_is_told_who_has_it(testbed):
    """Without taints the scheduler cannot know, as when both come at once."""
    await testbed.driver(HASTY, environ=BOTH)
    await offered(testbed, PIZZA, 5)
    await testbed.apply(CLASS, pod("bob", PIZZA, 5))
    await testbed.pod("bob", "Running")
    (node,) = testbed.nodes.values()
    await testbed.apply(*claiming("ada", "pizza"))
    event = await testbed.event("FailedPrepareDynamicResources")
    assert "'margherita'" in event["message"]
    assert PIZZA in event["message"]
    await testbed.delete("pods", "bob")
    await until(lambda: len([*node.cdi_dir.iterdir()]), lambda count: count == 0)
    await testbed.advance(120)  # the kubelet asks again
    await testbed.pod("ada", "Running")


async def test_a_runtime_without_cdi_is_told_in_plain_words(testbed):
    await testbed.plugin(COMMAND, PIZZA, environ=ONLY | {"DEVICE_PLUGIN_ANSWER": "plain"})
    await testbed.apply(pod("ada", PIZZA))
    await testbed.pod("ada", "Running")
    told = variables(containers(testbed)["ada"])
    assert [told["PIZZA"]] == (await given(testbed))["ada"]
    assert told["PIZZA_DOUGH"]
