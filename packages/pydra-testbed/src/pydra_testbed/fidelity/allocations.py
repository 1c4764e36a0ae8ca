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
    different = _differences(record, found)
    if not different:
        return []
    if record.get("quirk") and record.get("taintRules"):
        return _differences(await Scenario(with_own_taints(record)).play(), found)
    if is_without_order(record):
        alike = [without_order(_answer(each), record) for each in (record, found)]
        return list(differences(*alike))
    plays = [found]
    if sees_evictions_by_chance(record):
        plays.append(await Scenario(record, evicts_early=True).play())
    wanted = [record]
    if record.get("other_outcome"):
        wanted.append({**record, "outcome": record["other_outcome"]})
    return min((_differences(each, play) for each in wanted for play in plays), key=len)


def _differences(wanted: Mapping[str, Any], found: Answer) -> list[str]:
    return [line.removeprefix(".") for line in differences(_answer(wanted), _answer(found))]


def _answer(record: Mapping[str, Any]) -> Answer:
    kinds = ("outcome", "final_claims", "final_pods")
    return {kind: record.get(kind) or {} for kind in kinds}
