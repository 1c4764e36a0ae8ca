"""The recorded node rebuilt: a real driver under the recorded plugin's name, claims under their recorded UIDs.

The recorded plugin misbehaved to order (errors, delays, forgotten claims); this one does so by files that a
test puts beside its program.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

from driver_world import World

NODE = "node1"
DEVICES = 64

PROBE = f"""
import asyncio
import sys
from pathlib import Path

from pydra_cdi import ContainerEdits
from pydra_core import Claim, Device, Driver, HostError, Inventory, PreparedDevice, main

ORDERS = Path(__file__).parent / "orders"


def ordered(order, uid):
    return (ORDERS / f"{{order}}-{{uid}}").exists()


class ProbeDriver(Driver):
    name = "DRIVER_NAME"

    async def discover(self) -> Inventory:
        return Inventory(*(Device(f"dev-{{n}}") for n in range({DEVICES})))

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        if ordered("fail", claim.uid):
            raise HostError(f"claim {{claim.ref}}: injected claim error")
        if ordered("crash", claim.uid):
            raise RuntimeError("injected gRPC error")
        if ordered("skip", claim.uid):
            return []
        if ordered("hold", claim.uid):
            print("held", claim.uid, file=sys.stderr, flush=True)
        while ordered("hold", claim.uid):
            await asyncio.sleep(0.01)
        return [a.prepared(ContainerEdits(env=["PROBE=1"])) for a in claim.allocations]

    async def unprepare(self, prepared) -> None:
        if ordered("fail", prepared.ref.uid):
            raise HostError(f"claim {{prepared.ref}}: injected unprepare error")


main(ProbeDriver)
"""


@dataclass
class ProbeWorld(World):
    """A node whose driver has the recorded plugin's name and tells the recorded endpoint."""

    driver_name: str = "probe.example.com"
    _claims: set[str] = field(default_factory=set)

    @property
    def dra_socket(self):
        return self.root / "kubelet" / "plugins" / self.driver_name / "dra.sock"

    @property
    def registration_socket(self):
        return self.root / "kubelet" / "plugins_registry" / f"{self.driver_name}-reg.sock"

    async def start(self, source=PROBE, **environ):
        environ = {"NODE_NAME": NODE, **environ}
        return await super().start(source.replace("DRIVER_NAME", self.driver_name), **environ)

    async def claim_as_recorded(self, name, uid):
        """Make a claim under its recorded UID, allocated to a device of its own.

        The recorded plugin answered dev-0 for every claim without looking at any; a scheduler would not have
        allocated it twice.
        """
        if uid in self._claims:
            return
        device = {"driver": self.driver_name, "pool": NODE, "device": f"dev-{len(self._claims)}"}
        with _next_uid(uid):
            made = await self.claim(device, name=name, requests=["gpu"])
        assert made.uid == uid
        self._claims.add(uid)

    def order(self, order, uid, *, done=False):
        file = self.root / "orders" / f"{order}-{uid}"
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True) if done else file.touch()


@contextmanager
def _next_uid(uid):
    """Let chance give the API server this UID: that is all a recorded cluster differs in from ours."""
    with patch.object(uuid, "uuid4", lambda: uuid.UUID(uid)):
        yield


async def send(channel, path, request, seconds):
    """Call with these bytes and return the answer's, nothing decoded on the way."""
    return await channel.unary_unary(path)(request, timeout=seconds, wait_for_ready=True)
