"""Health of 10 000 devices: `uv run python tests/bench/health.py`.

How long the event loop is held while the kubelet's list is composed anew and sent, when every device changes at
once and when none does; the board, the stream and gRPC are the driver's own, in this process.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from pydra_core import Device, DeviceHealth, Health, HealthPolicy, Inventory, Taint
from pydra_core._api.plan import Owner, plan
from pydra_core._api.pools import local_pools
from pydra_core._api.wanted import Marks, Wanted
from pydra_core._node.health.board import Board
from pydra_core._node.health.stream import HealthStream
from pydra_core._telemetry.metrics import Metrics

COUNT = 10_000


class Lag:
    """The longest time for which the loop did not come round."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.worst = max(self.worst, now - last)
            last = now


@asynccontextmanager
async def measured(what: str) -> AsyncIterator[None]:
    lag = Lag()
    task = asyncio.ensure_future(lag.watch())
    started = time.perf_counter()
    try:
        yield
    finally:
        task.cancel()
        took = time.perf_counter() - started
        print(f"{what}: {took * 1e3:.0f} ms, loop held for at most {lag.worst * 1e3:.1f} ms")


async def seen(health: Health) -> AsyncIterator[DeviceHealth]:
    for n in range(COUNT):
        yield DeviceHealth(device=f"card-{n}", health=health, reason="Hot")
    await asyncio.Event().wait()


def told(board: Board) -> Health:
    """What holds of the last device."""
    return board.states["node-1", f"card-{COUNT - 1}"].holds.health


async def main() -> None:
    metrics = Metrics("card.acme.example")
    board = Board("node-1", HealthPolicy(), metrics)
    stream = HealthStream(board, metrics)
    board.set_devices(("node-1", f"card-{n}") for n in range(COUNT))
    await asyncio.sleep(0.1)
    with tempfile.TemporaryDirectory(prefix="pd-") as folder:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(stream.handlers())
        server.add_insecure_port(f"unix:{folder}/s")
        await server.start()
        async with measured("first list of 10 000 devices composed"):
            size = len(await stream.compose())
        print(f"one list: {size / 1e3:.0f} kB")
        async with grpc.aio.insecure_channel(f"unix:{folder}/s") as channel:
            call = channel.unary_stream("/v1.DRAResourceHealth/NodeWatchResources")(b"")
            await call.read()
            for health in (Health.HEALTHY, Health.UNHEALTHY):
                async with measured(f"all become {health}, told in full"):
                    follow = asyncio.ensure_future(board.follow(seen(health)))
                    while await call.read() != await stream.compose() or told(board) != health:
                        continue
                follow.cancel()
                await asyncio.gather(follow, return_exceptions=True)
            async with measured("one hundred unchanged lists composed"):
                for _ in range(100):
                    await stream.compose()
                    await asyncio.sleep(0)
            call.cancel()
        stream.stop()
        await server.stop(1)


def slices() -> None:
    """What one sick device costs the publisher."""
    wanted = Wanted("card.acme.example", "node-1", may_taint=True)
    cards = (Device(f"card-{n}", attributes={"index": n}) for n in range(COUNT))
    wanted.set(local_pools(Inventory(*cards), "node-1"))
    owner = Owner("node-1", "uid")
    existing = [w.body for w in plan([], wanted.contents([]) or {}, "card.acme.example", owner)]
    sick = Marks(taints={("node-1", "card-7"): (Taint(key="card.acme.example/unhealthy"),)})
    wanted.marks = lambda: sick
    started = time.perf_counter()
    writes = plan(existing, wanted.contents(existing) or {}, "card.acme.example", owner)
    took = time.perf_counter() - started
    print(f"one of 10 000 devices tainted: {took * 1e3:.1f} ms to plan {len(writes)} write")


asyncio.run(main())
slices()
