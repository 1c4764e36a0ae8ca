"""Replays what a real scheduler decided: whole scenarios, with other names too, and what the player itself sees.

The whole file takes 10 to 20 s, so all of it is played; its changed half is a fixed sample, one record in eight.
"""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path

import pytest

from pydra_testbed.fidelity.allocations import REPLAYER

RECORDS = Path(__file__).parent / "data" / "allocations.jsonl.gz"
# Each with its reason in docs/dev/fidelity.md.
KNOWN = {
    *("hand-101", "hand-103", "hand2-079", "rand-098", "rand-350", "rand-366", "rand-414"),
}
KNOWN_RENAMED = KNOWN | {"hand-189", "hand-226"}
ONE_IN = 8


@pytest.fixture(scope="module")
def records():
    with gzip.open(RECORDS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


async def misses(chosen):
    return {o.record: o.differences[:2] async for o in REPLAYER.replay(chosen) if not o.agrees}


@pytest.mark.timeout(240)
async def test_pods_and_claims_end_as_recorded_from_a_real_cluster(records):
    different = await misses(records)
    assert different.keys() <= KNOWN, different


@pytest.mark.timeout(120)
async def test_the_same_is_decided_about_things_with_other_names(records):
    changed = [new for each in records if (new := REPLAYER.changed(each)) is not None][::ONE_IN]
    assert len(changed) > 70
    different = await misses(changed)
    assert different.keys() <= KNOWN_RENAMED, different


async def test_the_names_of_a_changed_scenario_are_new_everywhere(records):
    changed = REPLAYER.changed(records[0])
    names = {device["name"] for each in changed["slices"] for device in each["spec"]["devices"]}
    assert all(name.startswith("other-") for name in names)
    results = changed["outcome"][0]["claims"]["c1"]["allocation"]["devices"]["results"]
    assert {result["device"] for result in results} <= names


async def test_of_two_chance_evictions_each_record_has_to_agree_with_one_whole_play(records):
    """Looks of different plays do not add up to an agreement."""
    record = next(each for each in records if each["id"] == "rand-237")
    wrong = copy.deepcopy(record)
    wrong["final_pods"] = {**wrong["final_pods"], next(iter(wrong["final_pods"])): None}
    assert not await misses([record])
    assert await misses([wrong])


async def test_a_share_without_an_id_is_a_miss(records):
    """The ID itself is made up anew each time."""

    def other(record, change):
        text = json.dumps(record["outcome"])
        return {**record, "outcome": json.loads(change(text)), "final_claims": {}}

    record = next(each for each in records if '"shareID"' in json.dumps(each["outcome"]))
    lost = other(record, lambda text: text.replace('"shareID"', '"notShareID"'))
    assert not await misses([record])
    assert "shareID" in str(await misses([lost]))


async def test_slices_in_no_order_excuse_no_device_of_another_kind(records):
    record = next(each for each in records if each["id"] == "off-hand-002")
    other = copy.deepcopy(record)
    other["slices"][0]["spec"]["devices"][0]["attributes"] = {"numa": {"int": 1}}
    assert not await misses([record])
    assert await misses([other])


async def test_a_recording_that_says_otherwise_is_a_miss(records):
    wrong = copy.deepcopy(records[0])
    wrong["outcome"][0]["scheduled_node"] = "elsewhere"
    wrong["final_pods"]["p1"]["phase"] = "Running"
    (found,) = (await misses([wrong])).values()
    assert found == (
        "outcome[0].scheduled_node: 'n1', recorded 'elsewhere'",
        "final_pods.p1.phase: 'Pending', recorded 'Running'",
    )
