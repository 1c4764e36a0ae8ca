from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from pydra_core import DeviceHealth, Health, HealthPolicy
from pydra_core._node.health.board import Board
from pydra_core._node.health.stream import HealthStream
from pydra_core._proto import dra_health_v1_pb2 as v1
from pydra_core._telemetry.metrics import Metrics

FOUR_MIB = 4 << 20


class Node:
    """A board and its stream, and a driver that says what a test wants said."""

    def __init__(self, count, policy):
        self.metrics = Metrics("card.acme.example")
        self.board = Board("node-1", policy, self.metrics)
        self.stream = HealthStream(self.board, self.metrics)
        self.told = asyncio.Event()
        self.board.listeners.append(lambda _: self.told.set())
        self.board.set_devices(("node-1", f"card-{n}") for n in range(count))
        self.tasks = []

    async def say(self, *healths):
        self.told.clear()

        async def seen() -> AsyncIterator[DeviceHealth]:
            for health in healths:
                yield health
            await asyncio.Event().wait()

        self.tasks.append(asyncio.ensure_future(self.board.follow(seen())))
        await self.told.wait()

    async def list(self):
        return v1.NodeWatchResourcesResponse.FromString(await self.stream.compose()).devices


@pytest.fixture
async def node():
    made = []

    async def make(count=2, policy=None):
        made.append(Node(count, policy or HealthPolicy()))
        await made[-1].told.wait()
        return made[-1]

    yield make
    for task in (task for each in made for task in each.tasks):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def sick(device, message):
    return DeviceHealth(device=device, health=Health.UNHEALTHY, reason="Hot", message=message)


async def test_messages_are_cut_at_what_the_kubelet_keeps_and_are_utf_8(node):
    made = await node()
    await made.say(sick("card-0", "x" * 5000), sick("card-1", "\udcff"))
    entries = {e.device.device_name: e for e in await made.list()}
    assert entries["card-0"].message == "Hot: " + "x" * 1019
    assert entries["card-1"].message == "Hot: \\udcff"
    assert entries["card-0"].device.pool_name == "node-1"


async def test_a_list_that_would_not_fit_a_message_of_the_kubelet_has_short_texts(node):
    made = await node(5000)
    await made.say(*(sick(f"card-{n}", "x" * 1000) for n in range(5000)))
    while (await made.list())[-1].health != v1.UNHEALTHY:
        made.told.clear()
        await made.told.wait()
    assert len(await made.stream.compose()) < FOUR_MIB
    entries = await made.list()
    assert len(entries) == 5000
    assert {len(e.message) for e in entries} == {64}


async def test_devices_that_are_gone_are_listed_no_more_and_others_keep_their_health(node):
    made = await node()
    await made.say(sick("card-1", ""))
    made.told.clear()
    made.board.set_devices([("node-1", "card-1")])
    await made.told.wait()
    assert [(e.device.device_name, e.health) for e in await made.list()] == [
        ("card-1", v1.UNHEALTHY)
    ]


async def test_waiting_for_a_recovery_keeps_nobody_from_working(node):
    made = await node(policy=HealthPolicy(recovers_after=1000))
    settling = asyncio.ensure_future(made.board.settle())
    made.tasks.append(settling)
    await made.say(sick("card-0", ""))
    well = DeviceHealth(device="card-0", health=Health.HEALTHY)
    await made.say(well, sick("card-1", ""))
    assert [e.health for e in await made.list()] == [v1.UNHEALTHY, v1.UNHEALTHY]


@asynccontextmanager
async def heard(made):
    """The kubelet's end of a stream, over a socket."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(made.stream.handlers())
        server.add_insecure_port(f"unix:{folder}/s")
        await server.start()
        async with grpc.aio.insecure_channel(f"unix:{folder}/s") as channel:
            yield channel.unary_stream(
                "/v1.DRAResourceHealth/NodeWatchResources",
                response_deserializer=v1.NodeWatchResourcesResponse.FromString,
            )
        made.stream.stop()
        await server.stop(5)


async def test_a_list_is_sent_when_something_changed_and_a_client_that_goes_is_forgotten(node):
    made = await node()

    def streams():
        labels = {"driver": "card.acme.example"}
        return made.metrics.registry.get_sample_value("pydra_health_streams", labels)

    async with heard(made) as watch:
        call = watch(b"")
        assert [d.health for d in (await call.read()).devices] == [v1.UNKNOWN, v1.UNKNOWN]
        await made.say(sick("card-1", ""))
        assert [d.health for d in (await call.read()).devices] == [v1.UNKNOWN, v1.UNHEALTHY]
        further = asyncio.ensure_future(call.read())
        for _ in range(20):
            other = watch(b"")
            await other.read()
            other.cancel()
        assert not further.done()
        call.cancel()
        await asyncio.gather(further, return_exceptions=True)
        while streams():  # noqa: ASYNC110 (a gauge has no event)
            await asyncio.sleep(0)


async def test_the_list_has_the_order_of_publication(node):
    made = await node(100)
    names = [e.device.device_name for e in await made.list()]
    assert names == [f"card-{n}" for n in range(100)]


async def test_a_device_that_goes_while_it_recovers_keeps_no_other_from_it(node):
    made = await node(policy=HealthPolicy(recovers_after=0.05))
    made.tasks.append(asyncio.ensure_future(made.board.settle()))
    await made.say(sick("card-0", ""), sick("card-1", ""))
    well = [DeviceHealth(device=f"card-{n}", health=Health.HEALTHY) for n in range(2)]
    saying = asyncio.ensure_future(made.say(*well))
    for _ in range(5):  # both have been seen well, and wait for their time
        await asyncio.sleep(0)
    made.board.set_devices([("node-1", "card-1")])
    await saying
    while (await made.list())[0].health != v1.HEALTHY:
        made.told.clear()
        await made.told.wait()
    assert not made.tasks[0].done()


async def test_a_device_that_is_not_published_is_nobody_s_business(node):
    made = await node()
    await made.say(sick("card-9", ""), sick("card-0", ""))
    assert [e.device.device_name for e in await made.list()] == ["card-0", "card-1"]
