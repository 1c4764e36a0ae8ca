"""Pods that ask for extended resources, from the scheduler to the process, with a plugin started by the harness."""

import sys
from pathlib import Path

import pytest

from pydra_testbed.driver_process import DriverDiedError

THING = "probe.example.com/thing"
COMMAND = (sys.executable, str(Path(__file__).parent / "kubelet" / "deviceplugin.py"), "--alone")


def pod(name, count):
    amount = {THING: str(count)}
    container = {
        "name": "main",
        "image": "busybox",
        "command": ["sh", "-c", "echo $DP_PROBE"],
        "resources": {"limits": amount, "requests": amount},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


def waits(body):
    conditions = (body.get("status") or {}).get("conditions") or ()
    return any(f"Insufficient {THING}" in condition.get("message", "") for condition in conditions)


async def test_a_pod_waits_for_its_plugin_gets_a_device_and_sees_what_the_plugin_answered(testbed):
    await testbed.apply(pod("early", 2), pod("greedy", 3))
    for name in ("early", "greedy"):
        await testbed.until("pods", name, waits)
    await testbed.plugin([*COMMAND, THING, "a", "b"], THING)
    await testbed.pod("early")
    assert await testbed.log("early") == "b,a\n"
    assert waits(await testbed.pod("greedy", "Pending"))


async def test_pods_wait_again_once_the_plugin_is_gone(testbed):
    plugin = await testbed.plugin([*COMMAND, THING, "a"], THING)
    await plugin.stop()

    def is_empty(node):
        status = node["status"]
        return (status["capacity"][THING], status["allocatable"][THING]) == ("1", "0")

    await testbed.until("nodes", "laptop", is_empty, namespace="")
    await testbed.apply(pod("late", 1))
    await testbed.until("pods", "late", waits)


async def test_a_plugin_that_ends_before_it_offers_anything_is_named_with_what_it_said(testbed):
    with pytest.raises(
        DriverDiedError, match=r"(?s)ended with code .* it logged last:.*IndexError"
    ):
        await testbed.plugin([sys.executable, COMMAND[1]], THING)
