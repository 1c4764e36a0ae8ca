"""The driver itself: a usable name, a `discover` that comes back, an inventory the API will take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from pydra_core._api.rules import check as check_inventory
from pydra_core._api.rules import faults_by_pool, inventory_error, is_driver_name
from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.results import Result, finding, ok
from pydra_core._commands.doctor.runner import aside
from pydra_core._commands.doctor.subject import Subject
from pydra_core._shield.shield import Shield
from pydra_core._values import Inventory
from pydra_core.driver import Driver
from pydra_core.errors import InventoryError, PydraError
from pydra_core.needs import Need
from pydra_core.sdk import SdkSpec, named

_ALONE = "`pydra discover` shows it alone"
_LIBRARY = "install the vendor's library where this container finds it, in a version that fits its kernel driver"
LATE_NEEDS = "what it needs beside itself does not answer; look at that program's log"
LATE = "let `discover` only read, with a time limit for whatever can hang; `pydra discover` shows it alone"


async def look_at_name(subject: Subject) -> Sequence[Result]:
    """It becomes a DNS subdomain in the API and a vendor in CDI device IDs."""
    name, where = subject.driver.name, subject.driver.__qualname__
    if not is_driver_name(name):
        fix = (
            f"set {where}.name to a lower-case DNS subdomain of at most 63 characters, like card.acme.example;"
            " it begins with a letter: CDI takes no other vendor"
        )
        return [finding(Finding.DRIVER_NAME, "driver: name", repr(name), fix)]
    return [ok("driver: name", name)]


async def look_at_inventory(subject: Subject) -> Sequence[Result]:
    """Run `discover`, or `cluster_pools`, once and hold what it returns against the API's limits."""
    asked = "cluster_pools" if subject.cluster else "discover"
    alone = "`pydra discover --cluster` shows it alone" if subject.cluster else _ALONE
    check = f"driver: {asked}"
    devices, problem = await aside(lambda: _devices(subject))
    if isinstance(problem, InventoryError):
        faults = problem.fields["faults"]
        rows = [str(fault) for fault in faults] if isinstance(faults, tuple) else [str(problem)]
        fix = f"correct what `{asked}` returns"
        return [finding(Finding.DRIVER_INVENTORY, "driver: inventory", row, fix) for row in rows]
    if isinstance(problem, PydraError):
        seen = f"{problem.reason}: {problem}"
        return [finding(Finding.DRIVER_DISCOVER, check, seen, f"do what it says; {alone}")]
    if problem:
        seen = f"raised {type(problem).__name__}: {problem}"
        return [finding(Finding.DRIVER_DISCOVER, check, seen, f"correct the driver; {alone}")]
    return [
        ok(check, f"{devices} devices"),
        ok("driver: inventory", "fits the limits of resource.k8s.io/v1"),
    ]


async def look_at_needs(subject: Subject) -> Sequence[Result]:
    """Ask the driver for what else it needs; most need nothing."""
    if subject.driver.needs is Driver.needs:
        return []
    needs, problem = await aside(lambda: _needs(subject))
    if problem:
        seen = f"raised {type(problem).__name__}: {problem}"
        return [finding(Finding.DRIVER_NEEDS, "driver: needs", seen, "correct the driver")]
    return [
        finding(Finding.DRIVER_NEEDS, f"driver: {need.name}", need.seen, need.fix)
        if need.fix
        else ok(f"driver: {need.name}", need.seen)
        for need in needs
    ]


async def _needs(subject: Subject) -> tuple[Sequence[Need], BaseException | None]:
    """What the driver returned, and what it raised, which may be anything."""

    async def asked() -> tuple[Need, ...]:
        driver = subject.driver()
        try:
            return tuple(await driver.needs())
        finally:
            await driver.sdk.close()

    (outcome,) = await asyncio.gather(asked(), return_exceptions=True)
    return ((), outcome) if isinstance(outcome, BaseException) else (outcome, None)


async def look_at_libraries(subject: Subject) -> Sequence[Result]:
    """Load each SDK module in a worker of its own, as the shield does: the vendor's library is there or is not."""
    del subject
    if not named():
        return []
    return await aside(lambda: _libraries(named().values()))


async def _libraries(specs: Iterable[SdkSpec]) -> Sequence[Result]:
    shield, results = Shield(), []
    try:
        for spec in specs:
            check = f"driver: {spec.module}"
            try:
                operations = await shield.load(spec)
                results.append(ok(check, f"loads in its worker: {', '.join(operations)}"))
            except PydraError as err:
                results.append(finding(Finding.DRIVER_SDK, check, str(err), _LIBRARY))
    finally:
        await shield.close()
    return results


async def _devices(subject: Subject) -> tuple[int, BaseException | None]:
    """How many devices the driver returned, and what it or the rules raised: its code may raise anything."""

    async def checked() -> int:
        asked = subject.driver()
        try:
            return await (_cluster_pools(asked) if subject.cluster else _discover(asked))
        finally:
            await asked.sdk.close()

    (outcome,) = await asyncio.gather(checked(), return_exceptions=True)
    return (0, outcome) if isinstance(outcome, BaseException) else (outcome, None)


async def _discover(driver: Driver) -> int:
    found = await driver.discover()
    if not isinstance(found, Inventory):
        raise TypeError(f"discover returned {type(found).__name__}, not an Inventory")
    check_inventory(found)
    return len(found.devices)


async def _cluster_pools(driver: Driver) -> int:
    pools = await driver.cluster_pools()
    if faults := faults_by_pool(pools, ""):
        raise inventory_error(faults)
    return sum(len(pool.devices) for pool in pools)
