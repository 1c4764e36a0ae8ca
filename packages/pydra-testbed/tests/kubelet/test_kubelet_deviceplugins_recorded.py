"""Our kubelet beside a real one: the same plugin and the same pods must lead to the same calls.

`data/deviceplugin.jsonl.gz` holds what kubelet v1.36.2 said to a device plugin. Told again are the scenarios of which the
recording says what was done; compared are order, method, requests (the order of device IDs in them is random there, and
here), deadlines, and streams that the kubelet cuts.
"""

import asyncio
import gzip
import json
from collections import defaultdict
from pathlib import Path

import pytest

from pydra_testbed.kubelet import KubeletSettings

from .pluginprocess import FOUR, amounts, pod

SETTINGS = KubeletSettings(reconcile_period=0.01, node_update_period=0.01, crash_backoff=0.01)
DATA = Path(__file__).parent / "data" / "deviceplugin.jsonl.gz"

RECORDED = defaultdict(list)
for _line in gzip.decompress(DATA.read_bytes()).decode().splitlines():
    _record = json.loads(_line)
    RECORDED[_record["scenario"]].append(_record)


def sorted_lists(body):
    """A request with its lists of device IDs in order."""
    if isinstance(body, dict):
        return {key: sorted_lists(value) for key, value in body.items()}
    if isinstance(body, list):
        ordered = [sorted_lists(value) for value in body]
        return sorted(ordered) if all(isinstance(v, str) for v in ordered) else ordered
    return body


def deadline(seconds):
    """Whole seconds, None for none."""
    return None if seconds is None or seconds > 1e9 else round(seconds)


def theirs(scenario, first=None):
    """What the recorded kubelet did: calls, and streams it cut."""
    found = []
    for record in RECORDED[scenario][:first]:
        if record.get("service") != "v1beta1.DevicePlugin":
            continue
        if record["kind"] == "stream-close":
            found.append(("ended", record["method"]))
        elif record["kind"] in {"unary", "stream-open"}:
            request = sorted_lists(record["request"])
            found.append((record["method"], request, deadline(record["deadline_s"])))
    return found


def ours(plugin, start=0):
    found = []
    for report in plugin.log[start:]:
        if "ended" in report:
            found.append(("ended", report["ended"]))
        elif "heard" in report:
            request = sorted_lists(report["request"])
            found.append((report["heard"], request, deadline(report["deadline"])))
    return found


@pytest.fixture
async def ready(node, plugins):
    """A node with the recorded plugin's four devices."""
    await node.start(SETTINGS)
    node.define(*FOUR)
    plugin = await plugins(node)
    await amounts(node, 4, 4)
    return plugin


async def test_a_plugin_is_registered_in_the_recorded_order(ready):
    assert ours(ready) == theirs("dp-registration")


@pytest.mark.parametrize(("scenario", "count"), [("dp-pod-1-device", 1), ("dp-pod-2-devices", 2)])
async def test_a_pod_is_given_its_devices_in_the_recorded_calls(node, ready, scenario, count):
    before = len(ready.log)
    await pod(node, "p", count)
    await node.until_phase("Running")
    await ready.tell("answer GetDevicePluginOptions {}")
    assert ours(ready, before) == theirs(scenario)


async def test_a_pod_that_takes_all_that_is_left_is_given_it_in_the_recorded_calls(node, ready):
    await pod(node, "first", 2)
    await node.until_phase("Running", "first")
    await ready.says("heard", "PreStartContainer")
    before = len(ready.log)
    await pod(node, "p", 2)
    await ready.says("heard", "PreStartContainer")
    assert ours(ready, before) == theirs("dp-pod-all-remaining")


async def test_a_container_is_restarted_in_the_recorded_calls(node, ready):
    before = len(ready.log)
    await pod(node, "p", 1, ("sh", "-c", f"cat {node.fifo}"))
    await ready.says("heard", "PreStartContainer")
    await node.until_phase("Running")
    await asyncio.to_thread(node.fifo.write_text, "")
    await ready.says("heard", "PreStartContainer")
    assert ours(ready, before) == theirs("dp-container-restart")


async def test_a_failing_plugin_is_called_as_recorded_and_not_again(node, ready):
    await ready.tell("fail Allocate")
    before = len(ready.log)
    await pod(node, "p")
    await node.until_phase("Failed")
    await ready.tell("answer GetDevicePluginOptions {}")
    # Behind these two the recording goes on with a restart of the kubelet.
    assert ours(ready, before) == theirs("dp-allocate-error", 3)


async def test_the_second_of_two_plugins_is_cut_off_as_recorded(node, ready, plugins):
    new = await plugins(node, name="probe-dp2.sock")
    await ready.stop()
    await new.says("ended", "ListAndWatch")
    await ready.says("ended", "ListAndWatch")
    recorded = theirs("dp-duplicate-register")
    # The old plugin's end, then the new one's calls and its end.
    assert [*ours(new)[:2], *ours(ready)[-1:], *ours(new)[2:]] == recorded


async def test_a_kubelet_restarts_in_the_recorded_calls(node, ready):
    before = len(ready.log)
    await pod(node, "p")
    await node.until_phase("Running")
    await ready.says("heard", "PreStartContainer")
    await node.stop()
    await ready.says("ended", "ListAndWatch")
    await node.start(SETTINGS)
    await amounts(node, 0, 0)
    await ready.tell("rebind")
    assert (await ready.register())["registered"]
    await amounts(node, 4, 4)
    await node.delete("p")
    await node.until_gone("pods", "p")
    await node.stop()
    await ready.says("ended", "ListAndWatch")
    assert ours(ready, before) == theirs("dp-kubelet-restart")


async def test_registrations_are_refused_as_recorded(ready):
    refused = [r for r in RECORDED["dp-bad-register"] if r.get("method") == "Register"][:2]
    for record in refused:
        asked = record["request"]
        answer = await ready.register(version=asked["version"], resource=asked["resource_name"])
        assert f"StatusCode.{answer['code']}" == record["code"]
        assert answer["error"] == record["error"]


async def test_a_plugin_that_does_not_answer_is_refused_as_recorded(stepped, plugins):
    record = RECORDED["dp-bad-register"][-1]
    await stepped.start(KubeletSettings(heartbeat_period=100_000, node_update_period=7.0))
    plugin = await plugins(stepped, register=False)
    answer = asyncio.create_task(plugin.register(endpoint="missing.sock"))
    await stepped.clock.asked(10.0)
    before = stepped.clock.monotonic()
    await stepped.clock.advance(10.0)
    assert (await answer)["error"] == record["error"]
    assert round(record["took_ms"] / 1000) == stepped.clock.monotonic() - before
