"""Plays `deviceplugin.jsonl`: what a kubelet says to a device plugin, and when it cuts it off.

A record is a scenario with the log of all earlier ones, which tell what was there when it began. Plugins, pods, restarts
and ends happen again, one after the other; compared are the kubelet's calls to each plugin with their requests and
deadlines, the streams it cuts, its answers to registrations, and the node's amounts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pydra_testbed.fidelity._deviceplugin.play import Play
from pydra_testbed.fidelity._deviceplugin.story import read, renamed
from pydra_testbed.fidelity._deviceplugin.world import world
from pydra_testbed.fidelity.model import Outcome, Record, Replayer


class _DevicePlugin:
    async def replay(self, records: Sequence[Record]) -> AsyncIterator[Outcome]:
        for record in records:
            async with world() as made:
                found = await Play(read(record), made).run()
            yield Outcome(str(record["id"]), "deviceplugin", tuple(found))

    def changed(self, record: Record) -> Record | None:
        """Devices get IDs that no recording has."""
        return renamed(record)


REPLAYER: Replayer = _DevicePlugin()
"""Plays `deviceplugin.jsonl`."""
