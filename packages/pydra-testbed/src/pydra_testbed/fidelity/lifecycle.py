"""Plays `lifecycle.jsonl`: pods and claims from their creation to their end, against scheduler and controllers.

Client actions come at their recorded times on a manual clock; "kubelet sets" and "kubelet removes" are writes of
this player. Each object's sequence of states is compared as a whole (one event for each write), states of
different objects by order when more than a tenth of a second lay between them, and the objects at the end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pydra_testbed.fidelity._lifecycle.actions import Client
from pydra_testbed.fidelity._lifecycle.bodies import Story
from pydra_testbed.fidelity._lifecycle.compare import differences, final_differences
from pydra_testbed.fidelity._lifecycle.naming import renamed
from pydra_testbed.fidelity._lifecycle.timeline import recorded, sane
from pydra_testbed.fidelity._lifecycle.world import World
from pydra_testbed.fidelity.model import Outcome, Record, Replayer

# After the last recorded event: long enough to catch a write too many.
_AFTERMATH = 0.4


class _Lifecycle:
    async def replay(self, records: Sequence[Record]) -> AsyncIterator[Outcome]:
        for record in records:
            yield await _play(record)

    def changed(self, record: Record) -> Record | None:
        """Devices, objects and the node get names that no recording has."""
        return renamed(record)


async def _play(record: Record) -> Outcome:
    wanted = recorded(record)
    if record.get("quirk"):
        wanted = sane(wanted)
    story = Story(record)
    async with World(story).running() as world:
        client = Client(world, story)
        for number, step in enumerate(story.actions):
            await world.until(step.at)
            await client.act(number, step.text)
        await world.until(max(entry["t"] for entry in record["timeline"]) + _AFTERMATH)
        seen, end = world.timeline(), await world.final()
    found = [*differences(wanted, seen), *final_differences(record, end)]
    return Outcome(str(record["id"]), "lifecycle", tuple(found))


REPLAYER: Replayer = _Lifecycle()
"""Plays `lifecycle.jsonl`."""
