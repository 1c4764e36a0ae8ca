"""Pods that ask for extended resources, from the scheduler to the process, with a plugin started by the harness."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from pydra_testbed.clock import settle
from pydra_testbed.driver_process import DriverDiedError, DriverProcess
from pydra_testbed.objects import ObjectRef, Patch

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


async def test_a_plugin_is_started_once_it_is_registered_whatever_the_node_says_of_the_last_one(
    testbed, tmp_path
):
    first = await testbed.plugin([*COMMAND, THING, "a"], THING)
    await first.stop()
    began, go = tmp_path / "began", tmp_path / "go"
    waits_first = f'touch {began}; until test -e {go}; do sleep 0.01; done; exec "$@"'
    slow = ["sh", "-c", waits_first, "sh", *COMMAND, THING, "a"]
    starting = asyncio.ensure_future(testbed.plugin(slow, THING))
    while not began.exists():  # noqa: ASYNC110 (another process makes it)
        await asyncio.sleep(0.01)
    await settle()
    assert not starting.done()
    go.touch()
    await starting


async def test_the_end_of_an_object_is_waited_for_over_a_watch_that_is_cut(testbed):
    metadata = {"name": "kept", "finalizers": ["example.com/wait"]}
    await testbed.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    deleting = asyncio.ensure_future(testbed.delete("configmaps", "kept"))
    await testbed.until(
        "configmaps", "kept", lambda body: body["metadata"].get("deletionTimestamp")
    )
    for _ in range(3):
        await settle()
        testbed.server.faults.drop_watches()
    await settle()
    assert not deleting.done()
    patch = Patch({"metadata": {"finalizers": None}})
    await testbed.api.patch(ObjectRef("configmaps", "kept", "default"), patch)
    await deleting


def collected(pid):
    """Wait without the event loop: before Python 3.12 a thread collects a process, and the loop hears of it later."""
    while sys.version_info < (3, 12) and Path(f"/proc/{pid}").exists():
        continue


async def test_a_driver_that_ended_unheard_before_it_is_killed_is_no_error(tmp_path):
    process = await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True)
    driver = DriverProcess(process, tmp_path / "log")
    os.kill(process.pid, signal.SIGKILL)
    collected(process.pid)
    driver.kill()
    assert await process.wait() != 0
