"""Plays one file of recordings in a process of its own: `python -m pydra_testbed.fidelity.worker FILE [changed]`.

`play` starts one for each file. Standard output is one JSON line for the file (`Size`), then one for each outcome
(`Played`), as they come. A replayer that breaks costs the record it was at: that one is a miss, the rest is played.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import msgspec

from pydra_testbed.fidelity.files import MODULES, name_of, read, stem
from pydra_testbed.fidelity.model import Outcome, Record, Replayer


class Size(msgspec.Struct, frozen=True):
    """How many outcomes follow."""

    records: int
    changed: int


class Played(msgspec.Struct, frozen=True):
    """One outcome; `changed` tells records with one field changed from those as recorded."""

    changed: bool
    outcome: Outcome


async def outcomes(replayer: Replayer, records: Sequence[Record]) -> AsyncIterator[Outcome]:
    """One outcome for each record, whatever the replayer does."""
    done = 0
    while done < len(records):
        rest = records[done:]
        played = 0
        try:
            async for outcome in replayer.replay(rest):
                played += 1
                yield outcome
                if played == len(rest):
                    return
            why = "the replayer ended before it"
        except Exception as error:  # noqa: BLE001 - whatever breaks while a record is played is a miss of it
            why = f"broke: {type(error).__name__}: {error}"
        record = rest[played]
        yield Outcome(name_of(record), str(record.get("area", "")), (why,))
        done += played + 1


def changed(replayer: Replayer, records: Iterable[Record]) -> tuple[list[Record], list[Outcome]]:
    """The records with one field changed, without those whose rule fixes no effect; misses for what cannot be read."""
    found: list[Record] = []
    broken: list[Outcome] = []
    for record in records:
        try:
            other = replayer.changed(record)
        except Exception as error:  # noqa: BLE001 - whatever is no such record is a miss of it
            why = f"cannot be changed: {type(error).__name__}: {error}"
            broken.append(Outcome(name_of(record), str(record.get("area", "")), (why,)))
        else:
            found += [] if other is None else [other]
    return found, broken


async def _play(path: Path, *, also_changed: bool) -> None:
    replayer: Replayer = importlib.import_module(
        f"pydra_testbed.fidelity.{MODULES[stem(path.name)]}"
    ).REPLAYER
    records = read(path)
    others, broken = changed(replayer, records if also_changed else ())
    _write(Size(len(records), len(others) + len(broken)))
    for miss in broken:
        _write(Played(changed=True, outcome=miss))
    for is_changed, batch in ((False, records), (True, others)):
        async for outcome in outcomes(replayer, batch):
            _write(Played(is_changed, outcome))


def _write(line: Size | Played) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(_play(Path(sys.argv[1]), also_changed="changed" in sys.argv[2:]))
