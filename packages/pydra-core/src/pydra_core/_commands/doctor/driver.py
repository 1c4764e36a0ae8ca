"""The driver itself: a usable name, a `discover` that comes back, an inventory the API will take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydra_cdi import QualifiedName, SpecError
from pydra_core._api.rules import check as check_inventory
from pydra_core._api.rules import is_driver_name
from pydra_core._commands.doctor.results import Result, finding, ok
from pydra_core._commands.doctor.runner import aside
from pydra_core._commands.doctor.subject import Subject
from pydra_core._values import Inventory
from pydra_core.driver import Driver
from pydra_core.errors import InventoryError, PydraError

LATE = "let `discover` only read, with a time limit for whatever can hang; `pydra discover` shows it alone"


async def look_at_name(subject: Subject) -> Sequence[Result]:
    """It becomes a DNS subdomain in the API and a vendor in CDI device IDs."""
    name, where = subject.driver.name, subject.driver.__qualname__
    if not is_driver_name(name):
        fix = f"set {where}.name to a lower-case DNS subdomain of at most 63 characters, like card.acme.example"
        return [finding("driver: name", repr(name), fix)]
    try:
        QualifiedName(name, "claim", "0")
    except SpecError:
        fix = f"begin {where}.name with a letter: CDI takes no other vendor"
        return [finding("driver: name", repr(name), fix)]
    return [ok("driver: name", name)]


async def look_at_inventory(subject: Subject) -> Sequence[Result]:
    """Run `discover` once, as `run` would, and hold what it returns against the API's limits."""
    try:
        outcome = await aside(lambda: _discover(subject.driver))
    except PydraError as err:
        return [finding("driver: discover", f"{err.reason}: {err}", "do what it says; " + _ALONE)]
    if isinstance(outcome, BaseException):
        seen = f"raised {type(outcome).__name__}: {outcome}"
        return [finding("driver: discover", seen, "correct the driver; " + _ALONE)]
    found = ok("driver: discover", f"{len(outcome.devices)} devices")
    try:
        check_inventory(outcome)
    except InventoryError as err:
        faults = [str(fault) for fault in _listed(err.fields["faults"])]
        rows = (finding("driver: inventory", f, "correct what `discover` returns") for f in faults)
        return [found, *rows]
    return [found, ok("driver: inventory", "fits the limits of resource.k8s.io/v1")]


_ALONE = "`pydra discover` shows it alone"


async def _discover(driver: type[Driver]) -> Inventory | BaseException:
    async def once() -> Inventory:
        return await driver().discover()

    (outcome,) = await asyncio.gather(once(), return_exceptions=True)
    return outcome


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, tuple) else ()
