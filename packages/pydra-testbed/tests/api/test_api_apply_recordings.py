"""Server-side apply as recorded from kube-apiserver 1.36.2: every transcript, step by step."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pydra_testbed.fidelity.ssa_compute import REPLAYER

DATA = Path(__file__).parent / "data" / "ssa-compute.jsonl.gz"
RECORDS = [json.loads(line) for line in gzip.decompress(DATA.read_bytes()).splitlines()]


@pytest.fixture(params=["as recorded", "with other managers"])
def records(request):
    if request.param == "as recorded":
        return RECORDS
    return [RECORDS[0], *filter(None, map(REPLAYER.changed, RECORDS))]


async def test_every_transcript_agrees_in_all_that_kubernetes_answered(records):
    outcomes = [outcome async for outcome in REPLAYER.replay(records)]
    assert len(outcomes) == len(records)
    assert [outcome for outcome in outcomes if not outcome.agrees] == []


async def test_a_transcript_that_asks_for_something_else_does_not_agree():
    wrong = json.loads(json.dumps(RECORDS[1]))
    wrong["steps"][0]["body"]["spec"]["image"] = "b:2"
    outcomes = [outcome async for outcome in REPLAYER.replay([RECORDS[0], wrong])]
    assert [outcome.agrees for outcome in outcomes] == [True, False]
    assert any("spec.image" in line for line in outcomes[1].differences)
