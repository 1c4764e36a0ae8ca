"""Holds selectors against verdicts of Kubernetes' own compiler (default gates, stored-expression environment)."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from pydra_testbed.cel import (
    CelCompileError,
    CelEvaluationError,
    compile_selector,
    complaint,
    device_view,
)

VERDICTS = Path(__file__).parent / "data" / "cel-verdicts.jsonl.gz"
# What the evaluator cannot be told: its parser nests to 32, its loops end after 10 000 steps.
FLOORS = {"cost": 0.81, "map": 0.92, "any": 0.97, "list": 0.97, "optional": 0.97}
AT_LEAST = 0.98


@pytest.fixture(scope="module")
def verdicts():
    with gzip.open(VERDICTS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def ours(verdict):
    try:
        selector = compile_selector(verdict["expression"])
    except CelCompileError:
        return False, None, False
    device = verdict["device"]
    try:
        return True, selector.matches(device_view(device["driver"], device)), False
    except CelEvaluationError:
        return True, None, True


def theirs(verdict):
    failed = verdict["eval_error"] is not None
    return verdict["stored_compile_ok"], verdict["result"], failed


def test_compiling_and_evaluating_agrees_with_kubernetes(verdicts):
    total = Counter(verdict["area"] for verdict in verdicts)
    agreed = Counter(v["area"] for v in verdicts if ours(v) == theirs(v))
    agreement = {area: agreed[area] / total[area] for area in total}
    short = {a: share for a, share in agreement.items() if share < FLOORS.get(a, AT_LEAST)}
    assert not short
    assert sum(agreed.values()) / len(verdicts) >= 0.985


def test_new_selectors_are_refused_where_the_api_server_refuses_them(verdicts):
    agreed = [v for v in verdicts if (complaint(v["expression"]) is None) == v["compile_ok"]]
    assert len(agreed) / len(verdicts) >= 0.99
