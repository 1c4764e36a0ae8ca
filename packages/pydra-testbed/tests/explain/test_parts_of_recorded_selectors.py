"""Cutting a selector must not change its meaning: held by the selectors recorded with Kubernetes' verdicts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from pydra_testbed.cel import CelCompileError, CelEvaluationError, compile_selector, device_view
from pydra_testbed.explain.conjuncts import conjuncts

VERDICTS = Path(__file__).parents[1] / "cel" / "data" / "cel-verdicts.jsonl.gz"


def answer(expression, verdict):
    device = verdict["device"]
    try:
        return compile_selector(expression).matches(device_view(device["driver"], device))
    except CelCompileError:
        return "does not compile"
    except CelEvaluationError:
        return "fails"


def together(answers):
    """What CEL makes of parts joined by `&&`: one that is false beats one that fails."""
    if False in answers:
        return False
    return next((a for a in answers if a is not True), True)


def test_the_parts_of_every_recorded_selector_mean_together_what_the_whole_means():
    with gzip.open(VERDICTS, "rt", encoding="utf-8") as lines:
        verdicts = [json.loads(line) for line in lines]
    compiling = [(v, whole) for v in verdicts if (whole := answer(v["expression"], v)) != "does not compile"]  # fmt: skip
    cut = [
        (v["expression"], parts, whole, together([answer(part, v) for part in parts]))
        for v, whole in compiling
        if (parts := conjuncts(v["expression"]))
    ]
    assert sum(len(parts) > 1 for _, parts, _, _ in cut) > 30
    different = [each for each in cut if each[2] != each[3]]
    assert not different, f"{len(different)} of {len(cut)}: {different[:12]}"
