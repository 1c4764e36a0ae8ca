"""A log of a kubelet and a device plugin, read as scenarios and played; what was tampered with is a miss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pydra_core.errors import ConfigError
from pydra_testbed.fidelity import files
from pydra_testbed.fidelity.deviceplugin import REPLAYER

DATA = Path(__file__).parents[1] / "kubelet" / "data" / "deviceplugin.jsonl.gz"


def scenario(name):
    """A record of its own, to be changed."""
    (found,) = (record for record in files.read(DATA) if record["id"] == name)
    return json.loads(json.dumps(found))


def call(record, method):
    return next(line for line in record["lines"] if line.get("method") == method)


async def differences(record):
    return [text async for outcome in REPLAYER.replay([record]) for text in outcome.differences]


def test_the_lines_of_a_scenario_are_one_record_and_know_those_before_them():
    records = files.read(DATA)
    assert len(records) == 13
    assert sum(len(record["lines"]) for record in records) == len(records[-1]["earlier"]) + len(
        records[-1]["lines"]
    )


def test_a_line_without_scenario_is_named(tmp_path):
    (tmp_path / "deviceplugin.jsonl").write_text('{"scenario": "a", "t": 1}\n{"t": 2}\n')
    with pytest.raises(ConfigError, match=r"deviceplugin.jsonl:2: is no record"):
        files.read(tmp_path / "deviceplugin.jsonl")


async def test_other_requests_deadlines_refusals_and_amounts_are_misses():
    pod = scenario("dp-pod-1-device")
    call(pod, "Allocate")["request"]["container_requests"][0]["devices_ids"] = ["pd-1"]
    assert await differences(pod) == [
        (
            "call 2: Allocate {'container_requests': [{'devices_ids': ['pd-1']}]};"
            " here: Allocate {'container_requests': [{'devices_ids': ['pd-3']}]}"
        )
    ]
    started = scenario("dp-registration")
    call(started, "GetDevicePluginOptions")["deadline_s"] = 9.9
    (late,) = await differences(started)
    assert late.endswith("within 10 s; here: GetDevicePluginOptions  within 5 s")
    refused = scenario("dp-bad-register")
    del refused["lines"][3:]
    call(refused, "Register")["error"] = "no"
    (other,) = await differences(refused)
    assert other.startswith("Register: no; here: requested API version")
    gone = scenario("dp-plugin-gone-5min-grace")
    gone["lines"] = [line for line in gone["lines"] if "t+1s" not in line.get("note", "")]
    note = next(line for line in gone["lines"] if "t+268s" in line.get("note", ""))
    note["note"] = "capacity/allocatable=4/0"
    assert await differences(gone) == ["capacity and allocatable ('4', '0'); here: ('0', '0')"]


async def test_a_call_that_never_comes_and_one_too_many_are_misses():
    pod = scenario("dp-pod-1-device")
    pod["lines"] += [
        call(pod, "PreStartContainer") | {"method": "GetDevicePluginOptions", "t": 1e4}
    ]
    (missing,) = await differences(pod)
    assert missing.endswith("here: nothing")
    registered = scenario("dp-registration")
    registered["lines"] = [
        line for line in registered["lines"] if line.get("method") != "ListAndWatch"
    ]
    (many,) = await differences(registered)
    assert many.startswith("call 2: nothing; here: ListAndWatch")
