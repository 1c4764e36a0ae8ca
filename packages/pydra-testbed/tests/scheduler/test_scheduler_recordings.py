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
FLOOR = 0.985
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
    agreement = 1 - len(different) / len(records)
    assert agreement >= FLOOR, f"{agreement:.2%} of {len(records)}, different: {different}"


@pytest.mark.timeout(120)
async def test_the_same_is_decided_about_things_with_other_names(records):
    changed = [new for each in records if (new := REPLAYER.changed(each)) is not None][::ONE_IN]
    assert len(changed) > 70
    different = await misses(changed)
    agreement = 1 - len(different) / len(changed)
    assert agreement >= FLOOR, f"{agreement:.2%} of {len(changed)}, different: {different}"


async def test_the_names_of_a_changed_scenario_are_new_everywhere(records):
    changed = REPLAYER.changed(records[0])
    names = {device["name"] for each in changed["slices"] for device in each["spec"]["devices"]}
    assert all(name.startswith("other-") for name in names)
    results = changed["outcome"][0]["claims"]["c1"]["allocation"]["devices"]["results"]
    assert {result["device"] for result in results} <= names


async def test_a_recording_that_says_otherwise_is_a_miss(records):
    wrong = copy.deepcopy(records[0])
    wrong["outcome"][0]["scheduled_node"] = "elsewhere"
    wrong["final_pods"]["p1"]["phase"] = "Running"
    (found,) = (await misses([wrong])).values()
    assert found == (
        "outcome[0].scheduled_node: 'n1', recorded 'elsewhere'",
        "final_pods.p1.phase: 'Pending', recorded 'Running'",
    )
