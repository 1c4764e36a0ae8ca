"""A driver whose devices' health is a file beside its program, one `device health [reason]` a line."""

from __future__ import annotations

import contextlib

from dialling import dial

from pydra_core._proto import dra_health_v1_pb2, dra_health_v1alpha1_pb2

SICKLY = """
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from pydra_cdi import ContainerEdits
from pydra_core import Claim, Device, DeviceHealth, Driver, Health, HealthPolicy, Inventory, PreparedDevice, main

HERE = Path(__file__).parent


class SicklyDriver(Driver):
    name = "card.acme.example"
    health_policy = HealthPolicy(recovers_after=float((HERE / "recovers_after").read_text()))

    async def discover(self) -> Inventory:
        names = (HERE / "devices").read_text().split()
        return Inventory(*(Device(name, shareable=name.startswith("shared")) for name in names))

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [a.prepared(ContainerEdits(env=["CARD=" + a.device])) for a in claim.allocations]

    async def watch_health(self) -> AsyncIterator[DeviceHealth]:
        while True:
            lines = (HERE / "health").read_text().splitlines()
            for line in lines:
                device, health, *reason = line.split()
                yield DeviceHealth(device=device, health=Health(health), reason=" ".join(reason))
            await asyncio.sleep(0.02)


main(SicklyDriver)
"""


class Sickly:
    """The files the driver reads."""

    def __init__(self, root, devices=("card-0", "card-1"), recovers_after=0.0):
        self._root = root
        self._health = {}
        (root / "recovers_after").write_text(str(recovers_after))
        self.devices(*devices)
        self.say()

    def devices(self, *names):
        self._put("devices", " ".join(names))

    def say(self, **healths):
        """Set the health of devices: `say(card_0="unhealthy Hot")`."""
        self._health |= {name.replace("_", "-"): text for name, text in healths.items()}
        self._put("health", "".join(f"{n} {text}\n" for n, text in self._health.items()))

    def forget(self, device):
        """Say nothing of a device any more."""
        del self._health[device]
        self.say()

    def _put(self, name, text):
        new = self._root / f".{name}"
        new.write_text(text)
        new.rename(self._root / name)


@contextlib.asynccontextmanager
async def health_stream(path, api=dra_health_v1alpha1_pb2):
    """Open the health stream as the kubelet does."""
    package = "v1alpha1" if api is dra_health_v1alpha1_pb2 else "v1"
    assert api in (dra_health_v1alpha1_pb2, dra_health_v1_pb2)
    async with dial(path) as channel:
        stub = channel.unary_stream(
            f"/{package}.DRAResourceHealth/NodeWatchResources",
            request_serializer=api.NodeWatchResourcesRequest.SerializeToString,
            response_deserializer=api.NodeWatchResourcesResponse.FromString,
        )
        call = stub(api.NodeWatchResourcesRequest(), wait_for_ready=True)
        try:
            yield call
        finally:
            call.cancel()


def healths(message):
    """Device to (health, message)."""
    return {d.device.device_name: (d.health, d.message) for d in message.devices}


async def heard(call, wanted):
    """Read the stream until `wanted(healths)` holds; returns them."""
    async for message in call:
        if wanted(found := healths(message)):
            return found
    raise AssertionError("the stream ended")
