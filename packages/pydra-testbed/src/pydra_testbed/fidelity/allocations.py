"""Plays `allocations.jsonl`: what a real scheduler decided, through API server, scheduler and controllers.

Nodes, messages, allocations, reservations and final states are compared. Where Kubernetes rolls dice between
equally good nodes, they fall as recorded. Where a recording is one of several truths, `equivalents` says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from pydra_testbed.fidelity._allocations.answers import Answer, differences
from pydra_testbed.fidelity._allocations.equivalents import (
    is_without_order,
    parts,
    sees_evictions_by_chance,
    with_own_taints,
    without_order,
)
from pydra_testbed.fidelity._allocations.play import Scenario
from pydra_testbed.fidelity._allocations.renaming import renamed
from pydra_testbed.fidelity.model import Outcome, Record


class Allocations:
    """The replayer of `allocations.jsonl`."""

    async def replay(self, records: Sequence[Record]) -> AsyncIterator[Outcome]:
        """Play each scenario in a cluster of its own."""
        for record in records:
            different = await _play(record)
            yield Outcome(record["id"], record["id"].rpartition("-")[0], tuple(different))

    def changed(self, record: Record) -> Record | None:
        """Give the nodes, devices and drivers of a scenario names that no recording has."""
        return renamed(record)


REPLAYER = Allocations()


async def _play(record: Record) -> list[str]:
    found = await Scenario(record).play()
    different = _differences(record, [found])
    if not different:
        return []
    if record.get("quirk") and record.get("taintRules"):
        return _differences(await Scenario(with_own_taints(record)).play(), [found])
    if is_without_order(record):
        return list(differences(without_order(_answer(record)), without_order(found)))
    seen = [found]
    if sees_evictions_by_chance(record):
        seen.append(await Scenario(record, evicts_early=True).play())
        seen.append(await Scenario(record, looks_late=False).play())
    wanted = [record]
    if record.get("other_outcome"):
        wanted.append({**record, "outcome": record["other_outcome"]})
    return _fewest([_differences(each, seen) for each in wanted])


def _answer(record: Mapping[str, Any]) -> Answer:
    kinds = ("outcome", "final_claims", "final_pods")
    return {kind: record.get(kind) or {} for kind in kinds}


def _differences(wanted: Mapping[str, Any], seen: Sequence[Answer]) -> list[str]:
    """What no play saw as it is wanted; several plays stand for looks that chance decides."""
    plays = [parts(found) for found in seen]
    lines: list[str] = []
    for where, state in parts(wanted).items():
        lines += _fewest([list(differences(state, play.get(where), where)) for play in plays])
    return lines


def _fewest(attempts: list[list[str]]) -> list[str]:
    return min(attempts, key=len)
