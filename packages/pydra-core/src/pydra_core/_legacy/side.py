"""The device plugin side of one driver process, all parts together: what `dual` starts, asks and closes.

Each resource is served on a socket of its own. Which resources there are follows from each discovery; whether they are
served is for others to decide (`wanted`). Where claims take over, a resource of which pods still have something goes on
being served with an empty list: five minutes after its last connection a kubelet (1.36) starts no container any more
that has some of it or asks for some, by claim or not, as long as any pod has some.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from pydra_core._legacy import answers
from pydra_core._legacy.holding import Held, Holdings
from pydra_core._legacy.listing import Listing
from pydra_core._legacy.registering import Endpoint
from pydra_core._legacy.server import Part, Service
from pydra_core._legacy.units import Offer, Offering
from pydra_core._node.prepare import ClaimPath
from pydra_core._node.sockets import locate_resource
from pydra_core._state.journal import Journal
from pydra_core._state.records import Prepared
from pydra_core._telemetry.metrics import Metrics
from pydra_core._values import Inventory
from pydra_core.driver import Driver
from pydra_core.errors import PydraError
from pydra_core.resources import Resource
from pydra_core.settings import Settings

_log = logging.getLogger(__name__)


class LegacySide:
    """Serves the extended resources of one driver."""

    def __init__(
        self,
        driver: Driver,
        settings: Settings,
        claims: ClaimPath,
        journal: Journal,
        boot: str,
        listing: Listing,
        metrics: Metrics,
    ) -> None:
        """Put it together; nothing is served before `run`.

        Args:
            driver: whose resources.
            settings: of this process.
            claims: the claim path, on which device IDs are claims too.
            journal: what the claim path writes.
            boot: the node's boot ID.
            listing: what the kubelet is told of them.
            metrics: of this process.
        """
        self.wanted: Callable[[], bool] = lambda: False
        self.beside_claims: Callable[[], bool] = lambda: False
        """Whether claims get the same devices: then what draws on counters is for them alone."""
        self.superseded: Callable[[], bool] = lambda: False
        self.grace: Callable[[], float] = lambda: settings.drain_timeout
        self.on_change: list[Callable[[], None]] = []
        """Called when it is registered, or is so no longer."""
        self.on_kubelet: list[Callable[[], None]] = []
        """Called when another kubelet than before listens."""
        self.on_given: list[Callable[[], None]] = []
        """Called when a container got something."""
        self.offered = asyncio.Event()
        """Set once it is known what the driver offers."""
        self._driver = driver
        self._settings = settings
        self._metrics = metrics
        self._journal = journal
        self._offering = Offering(driver.name, settings.node_name)
        self._holdings = Holdings(claims, journal, self._offering, boot)
        self._listing = listing
        self._endpoints: dict[str, tuple[Endpoint, asyncio.Task[None]]] = {}
        self._parts: dict[str, Part] = {}
        self._fault = ""
        self._adopted_for: Offer | None = None
        self._wake = asyncio.Event()
        self._inventory: Inventory | None = None
        self._news = asyncio.Event()
        self._asked: tuple[tuple[Resource, ...], Inventory, bool] | None = None
        journal.changed.append(listing.look_again)
        journal.changed.append(self._holders_changed)

    @property
    def registered(self) -> bool:
        """Whether the kubelet took up any resource."""
        return any(endpoint.registered for endpoint, _ in self._endpoints.values())

    @property
    def problem(self) -> str:
        """Why a resource is not served as it should be; empty if all are, or none is wanted."""
        if not self.wanted():
            return ""
        waiting = (
            f"resource {n}: {e.problem}" for n, (e, _) in self._endpoints.items() if e.problem
        )
        return self._fault or next(waiting, "")

    def found(self, inventory: Inventory) -> None:
        """Take note of what there is now. Cheap."""
        self._inventory = inventory
        self._news.set()

    async def follow(self) -> None:
        """Ask the driver what it offers of each inventory, until cancelled; what it raises is shown by the probe."""
        while True:
            if self._inventory is not None:
                self._ask(self._inventory)
            await self._news.wait()
            self._news.clear()

    def _ask(self, inventory: Inventory) -> None:
        try:
            resources = tuple(self._driver.resources(inventory))
            asked = resources, inventory, not self.beside_claims()
            if asked == self._asked:
                return
            offer = self._offering.make(
                resources, inventory, self._holdings.offer, with_counters=asked[2]
            )
        except Exception as err:
            cause = str(err) if isinstance(err, PydraError) else f"{type(err).__name__}: {err}"
            self._fault = f"driver {self._driver.name}: resources failed: {cause}"
            self._asked = None  # what it says next counts, also if that is what it said before
            raise
        self._asked = asked
        fault = "; ".join(offer.faults)
        if fault and fault != self._fault:
            _log.error("resources not offered as the driver says", extra={"why": fault})
        self._fault = fault
        self._holdings.offer = offer
        self._listing.take(offer)
        self.offered.set()
        self._wake.set()

    def look_again(self) -> None:
        """Take note that the health of devices may have changed. Cheap."""
        self._listing.look_again()

    def wake(self) -> None:
        """Take note that `wanted` or `beside_claims` may have changed."""
        self._wake.set()
        self._news.set()

    def held(self) -> tuple[Held, ...]:
        """All IDs that pods have, by the journal."""
        return self._holdings.held()

    async def release(self, held: Held) -> str:
        """As `Holdings.release`."""
        return await self._holdings.release(held)

    def send_again(self) -> None:
        """As `Listing.send_again`."""
        self._listing.send_again()

    def offers(self, key: tuple[str, str]) -> bool:
        """Whether this driver offers an ID of a resource."""
        resource, device_id = key
        return device_id in self._holdings.offer.units.get(resource, {})

    async def allocate(self, resource: str, ids: Sequence[str], deadline: float) -> None:
        """Hold IDs that a pod has already. Raises as `Holdings.allocate`."""
        await self._holdings.allocate(resource, ids, deadline)

    def jobs(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What runs beside the driver's calls."""
        return (self.follow, self.run)

    async def run(self) -> None:
        """Serve what is offered, as long as it is wanted, until cancelled."""
        try:
            while True:
                self._wake.clear()
                await self._adopt()
                served = self._served()
                for name in [n for n, part in self._parts.items() if served.get(n) != part]:
                    await self._stop(name)
                for name, part in served.items():
                    if name not in self._endpoints:
                        self._start(name, part)
                await self._wake.wait()
        finally:
            await asyncio.gather(*(self._stop(name) for name in tuple(self._endpoints)))
            self._listing.close()
            await self._holdings.close(self.grace())

    def _served(self) -> dict[str, Part]:
        """Which resources the kubelet is to know, and how much of them."""
        beside = self.beside_claims()
        if self.wanted():
            return dict.fromkeys(
                self._holdings.offer.units, Part(gives=True, tells_starts=not beside)
            )
        left = {held.resource for held in self.held()} if beside else ()
        return dict.fromkeys(left, Part(gives=False, tells_starts=False))

    def _holders_changed(self) -> None:
        if not self.wanted():
            self._wake.set()

    async def _adopt(self) -> None:
        """Once for each offer: what was found late is not in the first."""
        offer = self._holdings.offer
        if self._journal.adopts and offer is not self._adopted_for:
            await self._holdings.adopt()
            self._adopted_for = offer

    def _start(self, name: str, part: Part) -> None:
        compose = answers.plain if self._settings.device_plugin_answer == "plain" else answers.names

        def given(records: Sequence[Prepared]) -> answers.Response:
            for tell in self.on_given:
                tell()
            return compose(records)

        sockets = locate_resource(self._settings, self._driver.name, name)
        service = Service(
            self._driver, name, self._holdings, self._listing, self._metrics, given, part
        )
        endpoint = Endpoint(name, sockets, service)
        endpoint.superseded = self.superseded
        endpoint.on_change = self._changed
        endpoint.on_kubelet = self._kubelet_changed
        task = asyncio.get_running_loop().create_task(endpoint.run(self.grace))
        self._endpoints[name], self._parts[name] = (endpoint, task), part
        self._metrics.set_resource(name, registered=False)

    async def _stop(self, name: str) -> None:
        _, task = self._endpoints.pop(name)
        del self._parts[name]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._metrics.set_resource(name, registered=None)
        self._changed()

    def _kubelet_changed(self) -> None:
        for tell in self.on_kubelet:
            tell()

    def _changed(self) -> None:
        for name, (endpoint, _) in self._endpoints.items():
            self._metrics.set_resource(name, registered=endpoint.registered)
        for tell in self.on_change:
            tell()
