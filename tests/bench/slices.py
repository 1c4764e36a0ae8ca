"""Speed of publishing: `uv run python tests/bench/slices.py`.

How soon wiped slices are back, what an unchanged inventory writes over a restart, what 10 000 devices cost, and
the memory of an idle driver. The API server runs in this process, the driver in its own.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydra_testbed.api import ApiServer, write_kubeconfig
from pydra_testbed.clock import RealClock
from pydra_testbed.objects import EVERYTHING

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "support"))

from driver_world import NODE, DriverUnderTest, World  # noqa: E402 (the tests' support folder)

SOURCE = (HERE / "driver.py").read_text()


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """A node as the contract tests have it."""
    with tempfile.TemporaryDirectory(prefix="pd-") as folder:
        server = ApiServer(RealClock())
        await server.local.create(
            "nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        )
        async with server.listen() as url:
            made = World(Path(folder), server, write_kubeconfig(Path(folder) / "kubeconfig", url))
            try:
                yield made
            finally:
                for driver in made.drivers:
                    await driver.stop()


async def slices(made: World, count: int) -> dict[str, str]:
    """Wait until there are `count` slices; returns their resource versions."""
    found: dict[str, str] = {}
    async for event in made.api.watch("resourceslices"):
        name = event.object["metadata"]["name"]
        found[name] = event.object["metadata"]["resourceVersion"]
        if event.type == "DELETED":
            del found[name]
        if len(found) == count:
            break
    return found


def cpu(driver: DriverUnderTest) -> float:
    """Seconds of CPU the driver's process has used."""
    fields = Path(f"/proc/{driver.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def memory(driver: DriverUnderTest) -> float:
    """Resident megabytes of the driver's process."""
    return (
        int(Path(f"/proc/{driver.process.pid}/status").read_text().split("VmRSS:")[1].split()[0])
        / 1000
    )


async def small() -> None:
    """Wipes and restarts of an inventory of one slice."""
    async with world() as made:
        driver = await made.start(SOURCE)
        await driver.registered()
        before = await slices(made, 1)
        print(f"resident memory, idle with 8 devices: {memory(driver):.1f} MB")
        back = []
        for _ in range(50):
            started = time.perf_counter()
            await made.api.delete_collection("resourceslices", EVERYTHING)
            before = await slices(made, 1)
            back.append(time.perf_counter() - started)
        print(
            f"wiped slices are back after: p50 {statistics.median(back) * 1e3:.1f} ms, worst {max(back) * 1e3:.1f} ms"
        )
        await driver.says("published slices=1 writes=1")
        await driver.stop()
        again = await made.start(SOURCE, LOG_LEVEL="debug")
        await again.registered()
        claim = await made.claim("card-0")
        await again.prepare(claim)
        unchanged = await slices(made, 1) == before
        print(f"writes for an unchanged inventory over a restart: {'0' if unchanged else 'some'}")


async def large() -> None:
    """A cold publication of 10 000 devices."""
    async with world() as made:
        driver = await made.start(SOURCE, BENCH_DEVICES="10000")
        started = time.perf_counter()
        await driver.registered()
        await slices(made, 79)
        took = time.perf_counter() - started
        print(
            f"10 000 devices published: {cpu(driver):.2f} s CPU of the driver, its start included; {took:.2f} s from the registration"
        )


asyncio.run(small())
asyncio.run(large())
