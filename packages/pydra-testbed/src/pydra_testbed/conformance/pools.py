"""The pools that a driver publishes, as their readers see them; for the families SLICE and HEALTH."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

from pydra_testbed.conformance.asking import prepared
from pydra_testbed.conformance.model import NotMetError
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.objects import KubeObject, Selection

RESOURCE = "resourceslices"
_LOOK = 0.02

Usable: TypeAlias = Mapping[str, Sequence[str]]
"""The devices of each complete pool, by its name, in the order in which a scheduler tries them."""


async def slices_of(stand: Stand) -> list[KubeObject]:
    """The slices of the driver under test, by name."""
    selection = Selection(field_selector=f"spec.driver={stand.driver.name}")
    listed = await stand.server.local.list(RESOURCE, selection)
    return _sorted(listed.items)


def devices_of(slices: Iterable[KubeObject]) -> list[str]:
    """The names of all devices, in order."""
    return [device["name"] for body in slices for device in body["spec"].get("devices") or []]


def versions_of(slices: Iterable[KubeObject]) -> dict[str, str]:
    """The resource version of each slice."""
    return {b["metadata"]["name"]: b["metadata"]["resourceVersion"] for b in slices}


def newest(slices: Iterable[KubeObject]) -> dict[str, list[KubeObject]]:
    """The slices of each pool's highest generation; nobody looks at others."""
    pools: dict[str, list[KubeObject]] = {}
    for body in _sorted(slices):
        pools.setdefault(body["spec"]["pool"]["name"], []).append(body)
    for name, bodies in pools.items():
        highest = max(b["spec"]["pool"]["generation"] for b in bodies)
        pools[name] = [b for b in bodies if b["spec"]["pool"]["generation"] == highest]
    return pools


def usable(slices: Iterable[KubeObject]) -> Usable:
    """The complete pools: those with as many slices as each of them says."""
    return {
        name: devices_of(bodies)
        for name, bodies in newest(slices).items()
        if {b["spec"]["pool"]["resourceSliceCount"] for b in bodies} == {len(bodies)}
    }


async def until(stand: Stand, what: str, holds: Callable[[Usable], bool]) -> Usable:
    """Wait until what is usable is as it must be, and nothing is left of it in incomplete pools.

    Raises:
        NotMetError: it is not after as long as a start may take, or the driver has ended.
    """
    seconds = stand.limits.start
    try:
        async with asyncio.timeout(seconds):
            while not holds(found := usable(slices := await slices_of(stand))):
                if stand.driver.process.code is not None:
                    raise NotMetError("a driver that runs", stand.driver.process.last_words)
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        seen = f"{len(slices)} slices, of which complete: {shortly(found)}, after {seconds:g} s"
        raise NotMetError(what, seen) from None
    return found


async def until_devices(stand: Stand, what: str, wanted: Usable) -> None:
    """Wait for complete pools of these devices, and for no slice beside them."""
    await until(stand, what, lambda found: found == wanted)

    async def alone() -> bool:
        slices = await slices_of(stand)
        return sum(map(len, newest(slices).values())) == len(slices)

    await stand.eventually(f"{what}, and none of older generations", alone, stand.limits.notice)


def shortly(found: Usable) -> str:
    """How many devices each pool has, and which, if they are few."""
    few = 8
    told = (
        f"pool {name} with {len(devices)} devices"
        + (f" ({', '.join(devices)})" if 0 < len(devices) <= few else "")
        for name, devices in found.items()
    )
    return "; ".join(told) or "no pool"


async def restart(stand: Stand) -> None:
    """Stop the driver, start it, and let it do what it does."""
    await stand.driver.process.stop(stand.limits.stop)
    await stand.start()
    await stand.published()
    await prepared(stand, await stand.claim(stand.use(stand.devices(1)[0])))
    await asyncio.sleep(stand.limits.moment)


@asynccontextmanager
async def watched(stand: Stand, wanted: Usable) -> AsyncIterator[None]:
    """Look at each change of the slices: pools that are complete hold these devices.

    Raises:
        NotMetError: one did not, at some moment of the block.
    """
    selection = Selection(field_selector=f"spec.driver={stand.driver.name}")
    slices = {body["metadata"]["name"]: body for body in await slices_of(stand)}

    async def look() -> None:
        async for change in stand.server.local.watch(RESOURCE, selection):
            slices[change.object["metadata"]["name"]] = change.object
            if change.type == "DELETED":
                del slices[change.object["metadata"]["name"]]
            for name, devices in usable(slices.values()).items():
                if devices != wanted.get(name):
                    seen = f"{shortly({name: devices})}, and it calls itself complete"
                    raise NotMetError(f"{shortly(wanted)}, or an incomplete pool", seen)

    task = asyncio.get_running_loop().create_task(look())
    try:
        yield
    finally:
        failed = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if failed:
            task.result()


def _sorted(slices: Iterable[KubeObject]) -> list[KubeObject]:
    return sorted(slices, key=lambda body: str(body["metadata"]["name"]))
