"""The driver that `legacy.py` measures: as many device IDs as asked for, one variable and one device node each."""

from __future__ import annotations

import os

from pydra_cdi import ContainerEdits, DeviceNode
from pydra_core import Claim, Device, Driver, Inventory, PreparedDevice, main
from pydra_core.resources import Resource, ResourceDevice

COUNT = int(os.environ["BENCH_IDS"])
NULL = DeviceNode(path="/dev/card", host_path="/dev/null")


class BenchDriver(Driver):
    """Offers `BENCH_IDS` shares of 8 devices."""

    name = "card.acme.example"

    async def discover(self) -> Inventory:
        return Inventory(*(Device(f"card-{n}", shareable=True) for n in range(8)))

    def resources(self, inventory: Inventory) -> list[Resource]:
        names = [device.name for device in inventory.devices]
        shares = (
            ResourceDevice(id=f"{names[n % 8]}::{n}", devices=(names[n % 8],), share=str(n))
            for n in range(COUNT)
        )
        return [Resource("acme.example/card", tuple(shares))]

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [
            a.prepared(ContainerEdits(env=[f"CARD={a.device}"], device_nodes=[NULL]))
            for a in claim.allocations
        ]


main(BenchDriver)
