"""What a real kubelet said to a device plugin, byte for byte, said to ours; where theirs left no choice, ours says the same."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import grpc
import legacy_world
import pytest

from pydra_core._proto import deviceplugin_v1beta1_pb2 as pb

ROOT = Path(__file__).parents[2]
RECORD = (
    ROOT / "packages" / "pydra-testbed" / "tests" / "kubelet" / "data" / "deviceplugin.jsonl.gz"
)
PROBE = "probe.example.com/dev"
RESTARTED = "kubelet.sock-changed"
kubelet = legacy_world.kubelet

PROGRAM = """
import os
from pathlib import Path

from pydra_cdi import ContainerEdits
from pydra_core import Claim, Device, DeviceHealth, Driver, Health, HealthPolicy, Inventory, PreparedDevice, main
from pydra_core.resources import Resource, ResourceDevice
from pydra_core.values import NUMA_NODE

SICK = Path(os.environ["STATE"]) / "sick"


class ProbeDriver(Driver):
    name = "card.acme.example"
    health_policy = HealthPolicy(recovers_after=0.0)

    async def discover(self) -> Inventory:
        return Inventory(*(Device(f"pd-{n}", attributes={NUMA_NODE: 0}) for n in range(4)))

    def resources(self, inventory: Inventory) -> list[Resource]:
        names = [device.name for device in inventory.devices]
        return [Resource("probe.example.com/dev", tuple(ResourceDevice(id=n, devices=(n,)) for n in names))]

    def prefer(self, resource, available, must_include, size):
        return sorted(available, reverse=True)[:size]

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [a.prepared(ContainerEdits(env=[f"DP_{a.device[-1]}=1"])) for a in claim.allocations]

    async def watch_health(self):
        import asyncio
        while True:
            sick = SICK.read_text() if SICK.exists() else ""
            for n in range(4):
                health = Health.UNHEALTHY if f"pd-{n}" == sick else Health.HEALTHY
                yield DeviceHealth(device=f"pd-{n}", health=health)
            await asyncio.sleep(0.05)


main(ProbeDriver)
"""


def recorded():
    with gzip.open(RECORD, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


async def said(plugin, record):
    """One recorded request, on the wire as it was; the answer's bytes."""
    call = plugin.channel.unary_unary(f"/v1beta1.DevicePlugin/{record['method']}")
    return await call(bytes.fromhex(record["request_hex"]), timeout=20)


async def alone(world):
    """The driver as what was recorded: it serves no claims, beside which it would not be told of containers' starts."""
    modes = {"ENABLE_DRA": "false", "ENABLE_DEVICE_PLUGIN": "true"}
    await world.start(PROGRAM, offers_dra=False, STATE=str(world.root), **modes)


def unhealthy(response):
    return sorted(device.ID for device in response.devices if device.health == "Unhealthy")


async def test_the_recorded_conversation_is_answered_alike(world, kubelet):
    await alone(world)
    plugin = await kubelet.plugin(PROBE)
    told = {"calls": 0, "lists": 0, "restarts": 0}
    for record in recorded():
        method, kind = record.get("method"), record.get("kind")
        if record.get("event") == RESTARTED:
            await kubelet.stop()
            await kubelet.start()
            plugin = await kubelet.plugin(PROBE)
            told["restarts"] += 1
        elif kind == "stream-send":
            theirs = pb.ListAndWatchResponse.FromString(bytes.fromhex(record["response_hex"]))
            sick = unhealthy(theirs)
            (world.root / "sick").write_text("".join(sick))
            await kubelet.until(lambda p=plugin, s=sick: unhealthy(p.lists[-1]) == s)
            assert plugin.lists[-1] == theirs
            told["lists"] += 1
        elif kind == "unary" and method != "Register":
            ours = await said(plugin, record)
            told["calls"] += 1
            if method == "Allocate":
                asked = pb.AllocateRequest.FromString(bytes.fromhex(record["request_hex"]))
                check_allocated(asked, pb.AllocateResponse.FromString(ours))
            else:
                assert ours.hex() == record["response_hex"], record
    assert told == {"calls": 27, "lists": 9, "restarts": 2}


def check_allocated(asked, given):
    """Theirs answered what the recorder made up; of ours the kubelet needs one answer per container, in order."""
    assert len(given.container_responses) == len(asked.container_requests) == 1
    names = [d.name.rpartition("_")[2] for d in given.container_responses[0].cdi_devices]
    assert names == list(asked.container_requests[0].devices_ids)


async def test_the_registration_is_the_recorded_one_but_for_the_sockets_name(world, kubelet):
    (first, *_) = (r for r in recorded() if r.get("method") == "Register" and r["code"] == "OK")
    heard = []
    kubelet.on_register = heard.append
    await alone(world)
    await kubelet.plugin(PROBE)
    theirs = pb.RegisterRequest.FromString(bytes.fromhex(first["request_hex"]))
    theirs.endpoint = heard[0].endpoint
    assert heard[0] == theirs


async def test_a_request_that_is_none_is_refused_and_the_next_is_answered(world, kubelet):
    await alone(world)
    plugin = await kubelet.plugin(PROBE)
    call = plugin.channel.unary_unary("/v1beta1.DevicePlugin/Allocate")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"\xff\xff", timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(await plugin.allocate(["pd-0"])) == 1
