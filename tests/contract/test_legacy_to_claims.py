"""Pods that ask for an extended resource get it by a claim, on a kubelet that still knows a device plugin for it."""

from __future__ import annotations

import pytest
from legacy_pods import HASTY, given, offered, pod, taints
from nvidia_world import until

PIZZA = "kitchen.pizza.example/pizza"
BOTH = {"ENABLE_DRA": "true", "ENABLE_DEVICE_PLUGIN": "true"}
CLAIMS = {"ENABLE_DRA": "true", "ENABLE_DEVICE_PLUGIN": "false"}
CLASS = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "metadata": {"name": "pizza"},
    "spec": {
        "selectors": [{"cel": {"expression": "device.driver == 'dra.pizza'"}}],
        "extendedResourceName": PIZZA,
    },
}


def claimed(body):
    return bool((body.get("status") or {}).get("extendedResourceClaimStatus"))


@pytest.mark.testbed(clock="manual")
async def test_they_start_beside_pods_from_before_however_long_those_stay(testbed):
    driver = await testbed.driver(HASTY, environ=BOTH)
    await offered(testbed, PIZZA, 5)
    await testbed.apply(CLASS, pod("old", PIZZA))
    await testbed.pod("old", "Running")
    (had,) = (await given(testbed))["old"]
    await until(lambda: taints(testbed), bool)
    await driver.stop()
    await testbed.driver(HASTY, environ=CLAIMS)
    await offered(testbed, PIZZA, 0)
    await testbed.advance(400)  # the kubelet forgets a device plugin after five minutes
    await testbed.apply(pod("new", PIZZA))
    assert claimed(await testbed.pod("new", "Running"))
    assert (await given(testbed))["old"] == [had]
    await testbed.delete("pods", "old")
    await until(lambda: taints(testbed), lambda seen: not seen)
    await testbed.apply(pod("late", PIZZA))
    assert claimed(await testbed.pod("late", "Running"))
