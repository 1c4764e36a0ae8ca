"""Plays `cel-verdicts.jsonl`: what Kubernetes' compiler says about an expression, and what it gives for a device.

Every field of a record is compared. Error texts are Kubernetes' own except where its parser lists what it
expected (those come from a generated grammar): there the first line's place is compared.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from pydra_testbed.cel import (
    MAX_COST,
    CelCompileError,
    CompiledSelector,
    Features,
    compile_selector,
    complaint,
    device_view,
)
from pydra_testbed.fidelity.model import Outcome, Record

Answer = dict[str, Any]

_MOVABLE = re.compile(r"<input>:1:(\d+): (.*?)\n \| (.*)\n \| ([.\uff0e]*)[\^\uff3e]")
# Kubernetes draws its pointer in full width below lines that have wide characters.

_UNBOUNDED = 2**64 - 1
_RANDOM = "actual_cost follows from the order of a map"
# Of several malformed attributes Kubernetes names one by chance.
_ATTRIBUTE = re.compile(r"^attribute [^ ]+: ")


class CelVerdicts:
    """The replayer of `cel-verdicts.jsonl`."""

    async def replay(self, records: Sequence[Record]) -> AsyncIterator[Outcome]:
        """Compile and evaluate each record's expression; no record depends on another."""
        for record in records:
            found, wanted = _answer(record), dict(record)
            if found.pop(_RANDOM, False) and wanted["actual_cost"] in _possible_costs(record):
                wanted["actual_cost"] = found["actual_cost"]
            different = tuple(
                f"{key}: {found[key]!r}, recorded {wanted[key]!r}"
                for key in _FIELDS
                if _normal(key, found[key]) != _normal(key, wanted[key])
            )
            yield Outcome(record["id"], record["area"], different)

    def changed(self, record: Record) -> Record | None:
        """Negate the expression: the verdict turns round, and costs one more. What gives none is moved to the right."""
        is_bool = record["output_type"] == "bool" and isinstance(record["result"], bool)
        if not is_bool or record["compile_error"] is not None:
            return _moved(record)
        most = min(int(record["max_cost"]) + 1, _UNBOUNDED)
        return {
            **record,
            "expression": f"({record['expression']}\n) == false",
            "result": not record["result"],
            "max_cost": str(most),
            "exceeds_cost_limit": most > MAX_COST,
            "actual_cost": record["actual_cost"] + 1,
        }


def _moved(record: Record) -> Record:
    """The same one column to the right: errors of the first line are told there, everything else stays."""
    texts = {
        key: _MOVABLE.sub(_one_further, record[key])
        for key in ("compile_error", "stored_compile_error", "eval_error")
        if isinstance(record[key], str)
    }
    return {**record, **texts, "expression": f" {record['expression']}"}


def _one_further(match: re.Match[str]) -> str:
    column, text, line, dots = match.groups()
    return f"<input>:1:{int(column) + 1}: {text}\n |  {line}\n | .{dots}^"


REPLAYER = CelVerdicts()

_FIELDS = (
    "compile_ok",
    "compile_error",
    "compile_error_type",
    "stored_compile_ok",
    "stored_compile_error",
    "output_type",
    "max_cost",
    "exceeds_cost_limit",
    "result",
    "eval_error",
    "actual_cost",
)


def _answer(record: Record) -> Answer:
    features = Features(
        record["features"]["consumableCapacity"], record["features"]["listTypeAttributes"]
    )
    answer: Answer = dict.fromkeys(_FIELDS)
    answer |= {"compile_ok": False, "stored_compile_ok": False}
    try:
        selector = compile_selector(record["expression"], features)
    except CelCompileError as problem:
        kind = problem.kind.value
        return answer | {
            "compile_error": complaint(record["expression"], features),
            "compile_error_type": kind,
            "stored_compile_error": str(problem),
        }
    return answer | _compiled(selector) | _evaluated(selector, record["device"], features)


def _possible_costs(record: Record) -> set[Any]:
    """The costs with each entry of the device's maps being the first."""
    device = record["device"]
    costs = set()
    for kind in ("attributes", "capacity"):
        items = list((device.get(kind) or {}).items())
        for first in range(len(items)):
            turned = {**device, kind: dict(items[first:] + items[:first])}
            costs.add(_answer({**record, "device": turned})["actual_cost"])
    return costs


def _compiled(selector: CompiledSelector) -> Answer:
    gated = selector.gated or None
    return {
        "compile_ok": gated is None,
        "compile_error": gated,
        "compile_error_type": gated and "RuleInvalid",
        "stored_compile_ok": True,
        "output_type": selector.output_type,
        "max_cost": str(selector.worst_cost),
        "exceeds_cost_limit": selector.worst_cost > MAX_COST,
    }


def _evaluated(selector: CompiledSelector, device: Mapping[str, Any], features: Features) -> Answer:
    view = device_view(device["driver"], device, features)
    measured = selector.measure(view)
    fast = selector.try_match(view)
    return {
        "result": fast.result,
        "eval_error": fast.error or None,
        "actual_cost": measured.cost,
        _RANDOM: measured.depends_on_order,
    }


def _normal(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key == "eval_error":
        return _ATTRIBUTE.sub("attribute: ", value)
    return _place(value) if key.endswith("compile_error") else value


def _place(text: str) -> str:
    match = re.match(r"compilation failed: ERROR: <input>:(\d+:\d+): Syntax error", text)
    return f"syntax error at {match[1]}" if match else text
