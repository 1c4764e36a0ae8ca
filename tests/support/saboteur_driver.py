"""A driver whose vendor library misbehaves: a card's name says in which way. Run as a program, by tests.

Environment: SABOTEUR is the library's file (`c/saboteur.c`), PATIENCE the seconds a card
may take, MEMORY the MiB the worker may hold, 0 for no limit.
"""

import os

from pydra_cdi import ContainerEdits
from pydra_core import Device, Driver, Inventory, main
from pydra_core.sdk import MIB, Sdk

MEMORY = os.environ.get("MEMORY", "128")
card = Sdk("saboteur_sdk", memory=int(MEMORY) * MIB or None)
WAYS = ("null", "abort", "hang", "leak", "raise", "print")
PATIENCE = float(os.environ.get("PATIENCE", "1"))
NAMES = ("good-0", "good-1", "quiet", *WAYS)


class SaboteurDriver(Driver):
    """Cards that prepare well (`good`), without the library (`quiet`), or as their name says."""

    name = "card.acme.example"

    async def discover(self):
        await self.sdk(card.count)
        return Inventory(*(Device(f"card-{name}") for name in NAMES))

    async def prepare(self, claim):
        for allocation in claim.allocations:
            await self._touch(allocation.device.removeprefix("card-"))
        return [a.prepared(ContainerEdits(env=[f"CARD={a.device}"])) for a in claim.allocations]

    async def unprepare(self, prepared):
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


if __name__ == "__main__":
    main(SaboteurDriver)
