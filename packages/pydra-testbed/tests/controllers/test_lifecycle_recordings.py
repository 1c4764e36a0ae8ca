"""Pods and claims from creation to end, as a real control plane wrote them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pydra_testbed.fidelity._lifecycle.compare import differences
from pydra_testbed.fidelity.lifecycle import REPLAYER

FILE = Path(__file__).parent / "data" / "lifecycle.jsonl.gz"
RECORDS = [json.loads(line) for line in gzip.decompress(FILE.read_bytes()).splitlines()]


async def play(record):
    (outcome,) = [outcome async for outcome in REPLAYER.replay([record])]
    return outcome


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["id"])
async def test_objects_go_through_the_recorded_states(record):
    assert (await play(record)).differences == ()


@pytest.mark.parametrize("record", RECORDS[::6], ids=lambda record: record["id"])
async def test_the_same_happens_under_other_names(record):
    changed = REPLAYER.changed(record)
    assert changed["timeline"] != record["timeline"]
    assert (await play(changed)).differences == ()


async def test_a_state_that_was_not_recorded_is_a_difference():
    changed = json.loads(json.dumps(RECORDS[0]))
    final = next(e for e in reversed(changed["timeline"]) if e.get("kind") == "ResourceClaim")
    final["allocated"] = ["d1"]
    outcome = await play(changed)
    assert not outcome.agrees
    assert 'allocated ["d0"] instead of ["d1"]' in outcome.differences[0]


def test_another_order_is_a_difference_where_a_tenth_of_a_second_tells_it():
    def seen(*moments):
        return [
            {"actor": "watch", "t": t, "kind": "Pod", "event": "ADDED", "name": n}
            for n, t in moments
        ]

    other = seen(("b", 0.0), ("a", 1.0))
    assert list(differences(seen(("a", 0.0), ("b", 0.2)), other)) != []
    assert list(differences(seen(("a", 0.0), ("b", 0.05)), other)) == []
