"""Plays `allocations.jsonl`: what a real scheduler decided, through API server, scheduler and controllers.

Nodes, messages, allocations, reservations and final states are compared. Where Kubernetes rolls dice between
equally good nodes, they fall as recorded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from pydra_testbed.fidelity._allocations.answers import Answer, differences
from pydra_testbed.fidelity._allocations.play import Scenario
from pydra_testbed.fidelity.model import Outcome, Record

_KINDS = ("outcome", "final_claims", "final_pods")


class Allocations:
    """The replayer of `allocations.jsonl`."""

    async def replay(self, records: Sequence[Record]) -> AsyncIterator[Outcome]:
        """Play each scenario in a cluster of its own."""
        for record in records:
            found = await Scenario(record).play()
            different = _differences(record, found)
            if different and record.get("other_outcome"):
                other = _differences({**record, "outcome": record["other_outcome"]}, found)
                different = different if other else []
            yield Outcome(record["id"], record["id"].rpartition("-")[0], tuple(different))

    def changed(self, record: Record) -> Record | None:
        """Give drivers, devices and nodes names that no recording has."""
        return None


REPLAYER = Allocations()


def _differences(record: Mapping[str, Any], found: Answer) -> list[str]:
    lines: list[str] = []
    for kind in _KINDS:
        wanted = record.get(kind)
        if wanted is not None:
            lines += differences(wanted, found[kind], kind)
    return lines
