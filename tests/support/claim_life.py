"""A kubelet's life in fast motion: claims prepared, asked again, given up, unprepared; and what that leaves behind.

The contract test lives a thousand claims, `tests/bench/claims_life.py` ten thousand.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
from driver_world import Claim, DriverUnderTest, World

from pydra_testbed.objects import ObjectRef

CARDS = 4
DRIVER = """
import asyncio
from pydra_cdi import ContainerEdits
from pydra_core import Claim, Device, DeviceGoneError, Driver, Inventory, PreparedDevice, main


class CardDriver(Driver):
    name = "card.acme.example"

    async def discover(self) -> Inventory:
        return Inventory(*(Device(f"card-{n}", attributes={"index": n}) for n in range(4)))

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        if claim.name.startswith("fails"):
            raise DeviceGoneError("card-0: fell off the bus; plug it in")
        if claim.name.startswith("breaks"):
            raise RuntimeError("the vendor's library fell over")
        if claim.name.startswith("slow"):
            await asyncio.sleep(0.3)
        return [a.prepared(ContainerEdits(env=[f"CARD={a.device}"])) for a in claim.allocations]


main(CardDriver)
"""


@dataclass(frozen=True)
class Footprint:
    """What a driver holds at one moment."""

    open_files: int
    """Without its connections to the API server, of which it keeps as many as it needed at once."""
    threads: int
    tasks: int
    files: frozenset[str]
    """On the node's disk."""


async def footprint(driver: DriverUnderTest) -> Footprint:
    """Look at the driver's process and its folders."""
    tasks = min([await _tasks(driver) for _ in range(3)])  # some come and go by themselves
    process = Path(f"/proc/{driver.process.pid}")
    tcp = {line.split()[9] for line in (process / "net/tcp").read_text().splitlines()[1:]}
    links = [str(fd.readlink()) for fd in (process / "fd").iterdir()]
    own = [link for link in links if link.removeprefix("socket:[").removesuffix("]") not in tcp]
    root = driver.world.root
    files = (f for part in ("kubelet", "cdi") for f in (root / part).rglob("*"))
    return Footprint(
        open_files=len(own),
        threads=len(list((process / "task").iterdir())),
        tasks=tasks,
        files=frozenset(str(f.relative_to(root)) for f in files),
    )


async def _tasks(driver: DriverUnderTest) -> int:
    """How many tasks the driver tells of when it is asked; the reload after it marks the end of the list."""
    marks = {"stack of a task": signal.SIGUSR2, "settings reloaded": signal.SIGHUP}
    before = len(driver.logged())
    for mark, number in marks.items():
        driver.process.send_signal(number)
        await driver.says(mark, after=before)
    return driver.logged()[before:].count("stack of a task")


def memory(driver: DriverUnderTest) -> int:
    """Resident bytes of the driver's process."""
    status = Path(f"/proc/{driver.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


async def live(
    world: World, driver: DriverUnderTest, count: int, seen: Callable[[int], None] = lambda _: None
) -> None:
    """Live through `count` claims, a card's worth of pods at once; `seen` is told how many there were so far."""
    for start in range(0, count, CARDS):
        claims = [await _claim(world, start + n, f"card-{n}") for n in range(CARDS)]
        await asyncio.gather(*(_pod(driver, claim) for claim in claims))
        for claim in claims:
            await world.api.delete(ObjectRef("resourceclaims", claim.name, claim.namespace))
        seen(start + CARDS)


async def _claim(world: World, number: int, device: str) -> Claim:
    kinds = {13: "fails", 29: "breaks", 47: "slow"}
    kind = next((k for every, k in kinds.items() if number % every == every - 1), "claim")
    return await world.claim(device, name=f"{kind}-{number}")


async def _pod(driver: DriverUnderTest, claim: Claim) -> None:
    """Start and end a pod with one claim."""
    if claim.name.startswith("slow"):
        with suppress(
            grpc.aio.AioRpcError
        ):  # the kubelet gives up, or hears that it takes too long
            await driver.prepare(claim, seconds=0.1)
    told = [(await driver.prepare(claim)).claims[claim.uid] for _ in range(2)]
    assert told[0] == told[1]
    assert bool(told[0].error) == claim.name.startswith(("fails", "breaks")), told[0].error
    gone = (await driver.unprepare(claim)).claims[claim.uid]
    assert not gone.error
