"""The driver itself: a usable name, a `discover` that comes back, an inventory the API will take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydra_core._api.rules import check as check_inventory
from pydra_core._api.rules import is_driver_name
from pydra_core._commands.doctor.results import Result, finding, ok
from pydra_core._commands.doctor.runner import aside
from pydra_core._commands.doctor.subject import Subject
from pydra_core._values import Inventory
from pydra_core.driver import Driver
from pydra_core.errors import InventoryError, PydraError

_ALONE = "`pydra discover` shows it alone"
LATE = "let `discover` only read, with a time limit for whatever can hang; `pydra discover` shows it alone"


async def look_at_name(subject: Subject) -> Sequence[Result]:
    """It becomes a DNS subdomain in the API and a vendor in CDI device IDs."""
    name, where = subject.driver.name, subject.driver.__qualname__
    if not is_driver_name(name):
        fix = (
            f"set {where}.name to a lower-case DNS subdomain of at most 63 characters, like card.acme.example;"
            " it begins with a letter: CDI takes no other vendor"
        )
        return [finding("driver: name", repr(name), fix)]
    return [ok("driver: name", name)]


async def look_at_inventory(subject: Subject) -> Sequence[Result]:
    """Run `discover` once, as `run` would, and hold what it returns against the API's limits."""
    inventory, problem = await aside(lambda: _discover(subject.driver))
    if isinstance(problem, InventoryError):
        faults = problem.fields["faults"]
        rows = [str(fault) for fault in faults] if isinstance(faults, tuple) else [str(problem)]
        return [
            finding("driver: inventory", row, "correct what `discover` returns") for row in rows
        ]
    if isinstance(problem, PydraError):
        seen = f"{problem.reason}: {problem}"
        return [finding("driver: discover", seen, f"do what it says; {_ALONE}")]
    if problem:
        seen = f"raised {type(problem).__name__}: {problem}"
        return [finding("driver: discover", seen, f"correct the driver; {_ALONE}")]
    return [
        ok("driver: discover", f"{len(inventory.devices)} devices"),
        ok("driver: inventory", "fits the limits of resource.k8s.io/v1"),
    ]


async def _discover(driver: type[Driver]) -> tuple[Inventory, BaseException | None]:
    """What `discover` returned, and what it or the rules raised: a driver's code may raise anything."""
    found = Inventory()

    async def checked() -> None:
        nonlocal found
        found = await driver().discover()
        if not isinstance(found, Inventory):
            raise TypeError(f"discover returned {type(found).__name__}, not an Inventory")
        check_inventory(found)

    (problem,) = await asyncio.gather(checked(), return_exceptions=True)
    return found, problem
