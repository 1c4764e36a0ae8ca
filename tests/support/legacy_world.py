"""Drivers that offer extended resources, and the pods that ask for some, on the testbed."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import grpc
import pytest
from dialling import dial

from pydra_core._proto import deviceplugin_v1beta1_pb2 as pb

CARD = "acme.example/card"
SEAT = "acme.example/seat"

PROGRAM = """
import os
from pathlib import Path

from pydra_cdi import ContainerEdits, DeviceNode, Hook, Mount
from pydra_core import Claim, Device, DeviceHealth, Driver, Health, HealthPolicy, Inventory, PreparedDevice, main
from pydra_core.resources import Resource, ResourceDevice
from pydra_core.values import NUMA_NODE

STATE = Path(os.environ["STATE"])


def told(name):
    try:
        return (STATE / name).read_text().split()
    except OSError:
        return []


class CardDriver(Driver):
    name = "card.acme.example"
    health_policy = HealthPolicy(recovers_after=0.0)

    async def discover(self) -> Inventory:
        return Inventory(*(
            Device(f"card-{n}", attributes={"index": n, NUMA_NODE: n // 2}, shareable=n == 3) for n in range(4)
        ))

    def resources(self, inventory: Inventory) -> list[Resource]:
        cards = [ResourceDevice(id=d.name, devices=(d.name,)) for d in inventory.devices if not d.shareable]
        seats = [ResourceDevice(id=f"card-3::{n}", devices=("card-3",), share=str(n)) for n in range(3)]
        return [Resource("acme.example/card", tuple(cards)), Resource("acme.example/seat", tuple(seats))]

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        bad = told("bad")
        if any(a.device in bad for a in claim.allocations):
            raise RuntimeError("the card is on fire")
        return [a.prepared(self._edits(a)) for a in claim.allocations]

    def _edits(self, allocation) -> ContainerEdits:
        node = DeviceNode(path=f"/dev/{allocation.device}", host_path="/dev/null", permissions="rw")
        mount = Mount(host_path="/tmp", container_path=f"/cards/{allocation.device}", options=["ro", "bind"])
        hooks = [Hook(hook_name="createContainer", path="/bin/true")] if told("hooks") else []
        env = [f"CARD_{allocation.device[-1]}={allocation.share_id or allocation.device}"]
        return ContainerEdits(env=env, device_nodes=[node], mounts=[mount], hooks=hooks)

    async def watch_health(self):
        import asyncio
        while True:
            sick = told("sick")
            for n in range(4):
                name = f"card-{n}"
                health = Health.UNHEALTHY if name in sick else Health.HEALTHY
                yield DeviceHealth(device=name, health=health, reason="Fire" if name in sick else "")
            await asyncio.sleep(0.05)


main(CardDriver)
"""


def command(folder, before=""):
    """The driver's program in `folder`, as its arguments; it runs `before` first."""
    program = folder / "legacy_driver.py"
    program.write_text(before + PROGRAM)
    return [sys.executable, str(program), "run"]


def pod(name, amounts, script="env", **more):
    """A pod that asks for so many of each resource."""
    limits = {resource: str(count) for resource, count in amounts.items()}
    container = {
        "name": "main",
        "image": "busybox",
        "command": ["sh", "-c", script],
        "resources": {"limits": limits, "requests": limits},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [container], **more},
    }


class Registered:
    """One registration of a device plugin, as a kubelet keeps it: the connection, and each list it read."""

    def __init__(self, kubelet, request):
        self.kubelet = kubelet
        self.resource = request.resource_name
        self.endpoint = request.endpoint
        self.channel = dial(kubelet.folder / request.endpoint)
        self.lists = []
        self.ended = False
        self.reading = None

    async def dial_back(self):
        """What a kubelet does before it answers a registration."""
        self.options = await self.call("GetDevicePluginOptions", pb.Empty(), pb.DevicePluginOptions)
        if self.kubelet.reads:
            self.reading = asyncio.ensure_future(self._read())

    async def _read(self):
        call = self.channel.unary_stream(
            "/v1beta1.DevicePlugin/ListAndWatch",
            request_serializer=pb.Empty.SerializeToString,
            response_deserializer=pb.ListAndWatchResponse.FromString,
        )(pb.Empty())
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for response in call:
                self.lists.append(response)
                await self.kubelet.happened()
        self.ended = True
        await self.kubelet.happened()

    async def call(self, method, request, answer, seconds=20):
        made = self.channel.unary_unary(
            f"/v1beta1.DevicePlugin/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return await made(request, timeout=seconds, wait_for_ready=True)

    async def allocate(self, *containers):
        request = pb.AllocateRequest(
            container_requests=[pb.ContainerAllocateRequest(devices_ids=ids) for ids in containers]
        )
        return (await self.call("Allocate", request, pb.AllocateResponse)).container_responses

    async def refusal(self, *containers):
        """The text with which an allocation is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.allocate(*containers)
        return refused.value.details()

    async def pre_start(self, *ids):
        request = pb.PreStartContainerRequest(devices_ids=ids)
        return await self.call("PreStartContainer", request, pb.PreStartContainerResponse)

    async def start_refused(self, *ids):
        """The text with which a container's start is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.pre_start(*ids)
        return refused.value.details()

    async def preferred(self, available, size, must=()):
        asked = pb.ContainerPreferredAllocationRequest(
            available_deviceIDs=available, must_include_deviceIDs=must, allocation_size=size
        )
        request = pb.PreferredAllocationRequest(container_requests=[asked])
        answer = await self.call("GetPreferredAllocation", request, pb.PreferredAllocationResponse)
        return list(answer.container_responses[0].deviceIDs)

    @property
    def health(self):
        return {device.ID: device.health for device in self.lists[-1].devices}

    async def close(self):
        if self.reading:
            self.reading.cancel()
            await asyncio.gather(self.reading, return_exceptions=True)
        await self.channel.close()


async def _nothing():
    pass


class Kubelet:
    """The kubelet's side of device plugins, one call at a time, in the place of the testbed's."""

    def __init__(self, folder):
        self.folder = folder
        self.registered = []
        self.refuses = 0
        self.code = grpc.StatusCode.UNKNOWN
        self.reads = True
        self.dials = True
        self.on_register = lambda _request: None
        self.before_dialling = _nothing
        self.server = None
        self._news = asyncio.Condition()

    async def start(self):
        """As a kubelet starts: whatever sockets lie there go, then its own is made."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("*.sock"):
            path.unlink()
        self.server = grpc.aio.server()
        register = grpc.unary_unary_rpc_method_handler(
            self._register,
            request_deserializer=pb.RegisterRequest.FromString,
            response_serializer=pb.Empty.SerializeToString,
        )
        service = grpc.method_handlers_generic_handler(
            "v1beta1.Registration", {"Register": register}
        )
        self.server.add_generic_rpc_handlers((service,))
        self.server.add_insecure_port(f"unix:{self.folder / 'kubelet.sock'}")
        await self.server.start()

    async def stop(self):
        """As a kubelet ends: its connections are cut."""
        for plugin in self.registered:
            await plugin.close()
        self.registered = []
        await self.server.stop(None)

    async def _register(self, request, context):
        if self.refuses:
            self.refuses -= 1
            await context.abort(self.code, "not now")
        self.on_register(request)
        await self.before_dialling()
        if not self.dials:
            return pb.Empty()
        plugin = Registered(self, request)
        await plugin.dial_back()
        self.registered.append(plugin)
        await self.happened()
        return pb.Empty()

    async def happened(self):
        async with self._news:
            self._news.notify_all()

    async def until(self, condition):
        async with self._news:
            await self._news.wait_for(condition)

    async def plugin(self, resource, *, after=0):
        """The registration of a resource, once it is there and its first list was read; `after` so many others."""

        def found():
            return [p for p in self.registered if p.resource == resource and p.lists][after:]

        await self.until(found)
        return found()[0]


@pytest.fixture
async def kubelet(world):
    made = Kubelet(world.root / "kubelet" / "device-plugins")
    await made.start()
    yield made
    await made.stop()


async def started(world, **environ):
    """The driver of the cards on this node, for both APIs."""
    environ = {"ENABLE_DEVICE_PLUGIN": "true", "STATE": str(world.root), **environ}
    return await world.start(PROGRAM, **environ)
