"""Answers unprepare in the place of a driver that is gone, so that its pods can end; `pydra unstick` calls it.

A kubelet does not let a pod go before the driver has unprepared its claims, and a driver that was uninstalled never
will. What it had prepared is in its journal: this serves the driver's sockets, releases what the kubelet asks for, and
refuses to prepare. Everything else is the ordinary claim path.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import TypeAlias

from pydra_core._api.claims import Claims
from pydra_core._node.lifecycle import Stop, signals
from pydra_core._node.prepare import ClaimPath
from pydra_core._node.process import dra_server
from pydra_core._node.registration import Registration
from pydra_core._node.service import DraService
from pydra_core._node.sockets import instances_sockets, is_served, locate, remove_dead
from pydra_core._node.works import Answer
from pydra_core._state.instances import ALONE, Instances, read_boot_id
from pydra_core._state.journal import Journal
from pydra_core._state.ledger import Ledger
from pydra_core._state.records import Intent, Prepared
from pydra_core._state.spec_files import SpecFiles
from pydra_core._telemetry.metrics import Metrics
from pydra_core._values import Claim, ClaimRef, Inventory, PreparedDevice
from pydra_core.driver import Driver
from pydra_core.errors import ConfigError, HostError
from pydra_core.settings import Settings

Released: TypeAlias = Callable[[ClaimRef, tuple[str, ...]], None]
"""Told of each claim that was released, with the names of its devices."""


class Departed(Driver):
    """In the place of a driver whose package is not installed: it has no devices and leaves hardware alone."""

    async def discover(self) -> Inventory:
        return Inventory()

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        raise HostError(f"claim {claim.ref}: driver {self.name} is not installed")


def departed(name: str) -> Driver:
    """A driver of that name without its package."""
    made: Driver = type("Departed", (Departed,), {"name": name})()
    return made


async def unstick(
    driver: Driver, settings: Settings, released: Released, *, keep: bool
) -> tuple[Prepared | Intent, ...]:
    """Release claims as the kubelet asks for it, until none is left or somebody interrupts.

    Args:
        driver: the driver itself if its package is installed, else `departed`.
        settings: where its sockets, journal and spec files are.
        released: told of each claim.
        keep: go on when nothing is left, until interrupted.

    Returns:
        What is still prepared.

    Raises:
        ConfigError: the driver runs on this node, or its journal is of a newer version.
        HostError: the journal cannot be read or written.
    """
    settings = dataclasses.replace(settings, pod_uid="")
    _refuse_where_served(settings, driver.name)
    sockets, stop = locate(settings, driver.name), Stop(settings.drain_timeout)
    async with AsyncExitStack() as stack:
        stack.enter_context(signals(stop.ask, lambda: None))
        journal = Journal(sockets.data_dir / "journal")
        stack.push_async_callback(journal.close)
        claims = _Releasing(driver, journal, _alone(journal, settings, driver.name), settings)
        stack.push_async_callback(lambda: claims.settle(stop.until))

        def tell(ref: ClaimRef, devices: tuple[str, ...]) -> None:
            released(ref, devices)
            if not (keep or left(journal.ledger)):
                stop.ask()

        claims.on_released = tell
        if left(journal.ledger) or keep:
            metrics = Metrics(driver.name)
            handlers = DraService(claims, metrics).handlers()
            await stack.enter_async_context(dra_server(sockets.service, handlers, stop))
            registration = Registration(driver.name, sockets.endpoint, metrics)
            await stack.enter_async_context(registration.serve(sockets.registration))
            remove_dead(settings, driver.name)
            await stop.wait()
        return left(journal.ledger)


def left(ledger: Ledger) -> tuple[Prepared | Intent, ...]:
    """What a kubelet may still want to have unprepared. Pods with extended resources end without it."""
    held: tuple[Prepared | Intent, ...] = (*ledger.all_prepared(), *ledger.all_intents())
    return tuple(record for record in held if not record.resource)


class _Releasing(ClaimPath):
    """The claim path one way: out."""

    def __init__(
        self, driver: Driver, journal: Journal, instances: Instances, settings: Settings
    ) -> None:
        specs = SpecFiles(settings.cdi_dir, driver.name)
        super().__init__(driver, _NoClaims(), journal, instances, specs, Metrics(driver.name))
        self.on_released: Released = lambda _ref, _devices: None

    async def prepare(self, ref: ClaimRef, deadline: float) -> Answer:  # noqa: ARG002 (answered at once)
        name = self._driver.name
        return Answer(
            error=f"claim {ref}: driver {name} was uninstalled from this node, where only unprepare is answered now;"
            " install the driver again, or delete the pod"
        )

    async def unprepare(self, ref: ClaimRef, deadline: float) -> Answer:
        ledger = self._journal.ledger
        known = ledger.prepared(ref.uid) or ledger.intent(ref.uid)
        answer = await super().unprepare(ref, deadline)
        if not answer.error:
            self.on_released(ref, tuple(use.device for use in known.uses) if known else ())
        return answer


class _NoClaims(Claims):
    """Nothing is fetched: whatever is released is in the journal."""

    def __init__(self) -> None:  # without the client that the other one needs
        pass

    def forget(self, uid: str) -> None:
        """Nothing is kept."""


def _alone(journal: Journal, settings: Settings, driver: str) -> Instances:
    instances = Instances(journal.locks, ALONE, read_boot_id(settings.boot_id_file))
    if instances.others_live:
        raise _lives(driver, str(journal.locks.path))
    return instances


def _refuse_where_served(settings: Settings, driver: str) -> None:
    for path in instances_sockets(settings, driver):
        with suppress(OSError):
            if path.is_socket() and is_served(path):
                raise _lives(driver, os.fspath(path))


def _lives(driver: str, where: str) -> ConfigError:
    return ConfigError(
        f"driver {driver}: runs on this node ({where}), so it unprepares its claims itself; look at its log, or"
        " uninstall it first",
        key="driver",
        source=where,
    )
