"""Drivers with several pools, whose hardware is files beside their programs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import textwrap

from driver_world import DriverUnderTest

PARTS = """
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from pydra_cdi import ContainerEdits
from pydra_core import Claim, Device, DeviceHealth, Driver, Health, HealthPolicy, Inventory, PreparedDevice, main
from pydra_core.values import Pool

HERE = Path(__file__).parent


class PartsDriver(Driver):
    name = "card.acme.example"
    health_policy = HealthPolicy(recovers_after=0)

    async def discover(self) -> Inventory:
        pools = {"": []}
        for entry in (HERE / "devices").read_text().split():
            pool, _, name = entry.rpartition("/")
            pools.setdefault(pool, []).append(Device(name))
        own = pools.pop("")
        return Inventory(*own, pools=tuple(Pool(n, tuple(found)) for n, found in pools.items()))

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [a.prepared(ContainerEdits(env=[f"PART={a.pool}/{a.device}"])) for a in claim.allocations]

    async def watch_health(self) -> AsyncIterator[DeviceHealth]:
        while True:
            for line in (HERE / "health").read_text().splitlines():
                entry, health, *reason = line.split()
                pool, _, device = entry.rpartition("/")
                yield DeviceHealth(device=device, pool=pool, health=Health(health), reason=" ".join(reason))
            await asyncio.sleep(0.02)


main(PartsDriver)
"""

FABRIC = """
import json
from pathlib import Path

from pydra_cdi import ContainerEdits
from pydra_core import Claim, Device, Driver, Inventory, PreparedDevice, main
from pydra_core.values import Nodes, Pool

HERE = Path(__file__).parent


class FabricDriver(Driver):
    name = "card.acme.example"

    async def discover(self) -> Inventory:
        return Inventory()

    async def cluster_pools(self) -> list[Pool]:
        found = json.loads((HERE / "pools.json").read_text())
        return [
            Pool(name, tuple(map(Device, pool["devices"])), nodes=Nodes(labels=pool.get("labels", {})))
            if "devices" in pool
            else Pool(name, tuple(Device(d, nodes=Nodes(name=node)) for d, node in pool["at"].items()))
            for name, pool in found.items()
        ]

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [a.prepared(ContainerEdits(env=[f"BOX={a.pool}/{a.device}"])) for a in claim.allocations]


if __name__ == "__main__":
    main(FabricDriver)
"""


class Fabric:
    """Starts publishers of one fabric, and says what it consists of."""

    def __init__(self, world, name="fabric"):
        self._world = world
        self._folder = world.root / name
        self._folder.mkdir()
        self._program = self._folder / "fabric.py"
        self._program.write_text(textwrap.dedent(FABRIC))

    def say(self, **pools):
        """Set pools: `say(rack_a={"devices": ["box-0"], "labels": {"rack": "a"}})`."""
        new = self._folder / ".pools"
        new.write_text(json.dumps({n.replace("_", "-"): p for n, p in pools.items()}))
        new.rename(self._folder / "pools.json")

    async def publish(self, **environ):
        """Start one publisher."""
        variables = {
            "KUBECONFIG": str(self._world.kubeconfig),
            "DISCOVER_INTERVAL": "0.05",
            "LEASE_DURATION": "1",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(self._program),
            "publish",
            env=os.environ | variables | environ,
            stderr=asyncio.subprocess.PIPE,
        )
        publisher = DriverUnderTest(self._world, process)
        self._world.drivers.append(publisher)
        return publisher
