"""A driver whose vendor library misbehaves: a card's name says in which way. Run as a program, by tests.

Environment: SABOTEUR is the library's file (`c/saboteur.c`), PATIENCE the seconds a card
may take, MEMORY the MiB the worker may hold, 0 for no limit. MISTAKES are what this driver, or the shield below it,
does wrong: words of `MISTAKES` below.
"""

import asyncio
import os
from pathlib import Path

from pydra_cdi import ContainerEdits
from pydra_core import Device, Driver, Inventory, main
from pydra_core._node.prepare import ClaimPath
from pydra_core._shield.caller import Caller
from pydra_core._shield.workers import Workers
from pydra_core.errors import DeviceError, VendorError
from pydra_core.sdk import MIB, Sdk

MEMORY = os.environ.get("MEMORY", "128")
card = Sdk("saboteur_sdk", memory=int(MEMORY) * MIB or None)
WAYS = ("null", "abort", "hang", "leak", "raise", "print")
PATIENCE = float(os.environ.get("PATIENCE", "1"))
MADE = set(os.environ.get("MISTAKES", "").split())
MISTAKES = {
    "swallows-errors",
    "asks-its-worker-first",
    "starts-no-second-worker",
    "waits-for-its-worker",
    "undoes-with-the-library",
}
assert MADE <= MISTAKES, MADE - MISTAKES
CRASHES = 3
ended, started = [], []
NAMES = ("good-0", "good-1", "good-2", "quiet", *WAYS)


class SaboteurDriver(Driver):
    """Cards that prepare well (`good`), without the library (`quiet`), or as their name says."""

    name = "card.acme.example"

    async def discover(self):
        await self.sdk(card.count)
        return Inventory(*(Device(f"card-{name}") for name in NAMES))

    async def prepare(self, claim):
        for allocation in claim.allocations:
            try:
                await self._touch(allocation.device.removeprefix("card-"))
            except VendorError:
                if "swallows-errors" not in MADE:
                    raise
        return [a.prepared(ContainerEdits(env=[f"CARD={a.device}"])) for a in claim.allocations]

    async def unprepare(self, prepared):
        if "undoes-with-the-library" in MADE and len(ended) >= CRASHES:
            raise DeviceError("the library is not well; wait", device=prepared.devices[0].device)
        if not any(d.device == "card-quiet" for d in prepared.devices):
            await self.sdk(card.count)

    async def _touch(self, how):
        match how:
            case "quiet":
                return
            case "raise":
                await self.sdk(card.only_here)
            case "print":
                await self.sdk(card.talk, 1000)
            case "null" | "abort" | "hang" | "leak":
                await self.sdk(card.change, how, timeout=PATIENCE)
            case _:
                await self.sdk(card.count)


def count_ends(workers, process, reason, told=Workers.ended):
    ended.append(reason)
    told(workers, process, reason)


async def ready_once(caller, ready=Caller._ready):
    if ended:
        raise DeviceError("the library is gone; start the driver anew", device="all")
    return await ready(caller)


async def never_closed(_):
    await asyncio.Event().wait()


def is_stopped(pid):
    try:
        return " T " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def start_and_note(workers, start=Workers.start):
    process = await start(workers)
    started.append(process.pid)
    return process


async def ask_first(path, ref, deadline, unprepare=ClaimPath.unprepare):
    while any(map(is_stopped, started)):  # noqa: ASYNC110 - processes tell nobody
        await asyncio.sleep(0.05)
    return await unprepare(path, ref, deadline)


def sabotage():
    Workers.ended = count_ends
    if "starts-no-second-worker" in MADE:
        Caller._ready = ready_once
    if "waits-for-its-worker" in MADE:
        Workers.close = never_closed
    if "asks-its-worker-first" in MADE:
        Workers.start, ClaimPath.unprepare = start_and_note, ask_first


if __name__ == "__main__":
    sabotage()
    main(SaboteurDriver)
