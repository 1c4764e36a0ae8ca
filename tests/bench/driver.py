"""The driver the benchmarks measure: as many devices as asked for, one environment variable each."""

from __future__ import annotations

import os

from pydra_cdi import ContainerEdits
from pydra_core import Claim, Device, Driver, Inventory, PreparedDevice, main

COUNT = int(os.environ.get("BENCH_DEVICES", "8"))


class BenchDriver(Driver):
    """Publishes `BENCH_DEVICES` devices."""

    name = "card.acme.example"

    async def discover(self) -> Inventory:
        return Inventory(*(Device(f"card-{n}", attributes={"index": n}) for n in range(COUNT)))

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [a.prepared(ContainerEdits(env=[f"CARD={a.device}"])) for a in claim.allocations]


main(BenchDriver)
