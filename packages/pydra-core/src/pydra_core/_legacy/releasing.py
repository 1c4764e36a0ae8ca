"""Notices that no pod has a device any more: a device plugin is told of allocations and never of releases.

The kubelet's pod-resources API is asked again and again (`podresources`); a device ID that no pod has is unprepared.
In doubt a device stays held: what was just given is not listed before its pod was admitted; a kubelet that cannot be
reached, or has just started and knows no pods yet, tells nothing; and what is missing once is looked for again. Pods
that end are listed until they are gone. Init containers are listed nowhere, so what was never listed may be kept
(`vetoing`). What a pod has that the journal does not know, because it was lost or another driver served the resource
before, is taken into the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from pydra_core._legacy.holding import Held
from pydra_core._legacy.podresources import Listing, Name
from pydra_core._telemetry.metrics import Metrics
from pydra_core.errors import HostError, PydraError

_log = logging.getLogger(__name__)
EVERY = 5.0
"""Seconds between two looks."""
GRACE = 30.0
"""Seconds for which what was given need not have been listed: its pod has to be admitted first, and may never be."""
APART = 2.0
"""Seconds for which a device must be missing from each list until it counts as released."""
AGAIN = 15.0
"""Seconds until what failed is tried again."""
EMPTY = 30.0
"""Seconds for which a kubelet must name no pod at all until that is believed of it."""
_LEAST = 0.5
"""Seconds between two looks that were asked for."""
_PATIENCE = 40.0
"""Seconds for an unprepare, as the kubelet gives it for a claim's."""


class Holder(Protocol):
    """What holds devices for pods; `Holdings` does."""

    def held(self) -> Sequence[Held]:
        """What pods have, by the ledger."""

    async def release(self, held: Held) -> str:
        """Unprepare, unless it was given anew meanwhile; says what went wrong."""

    async def allocate(self, resource: str, ids: Sequence[str], deadline: float) -> object:
        """Prepare device IDs for a pod. Raises `PydraError`."""


class Releasing:
    """The releases of one driver process."""

    def __init__(
        self,
        holder: Holder,
        offers: Callable[[Name], bool],
        ask: Callable[[], Awaitable[Listing]],
        metrics: Metrics,
        *,
        node: str,
        in_pod: bool,
        clock: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        """Begin.

        Args:
            holder: who has what.
            offers: whether the driver has such a device ID.
            ask: asks the kubelet.
            metrics: of this process.
            node: its name, by which static pods are told apart: a kubelet knows those without the API server.
            in_pod: this process is a pod of the node, so that a list of no pods is never whole.
            clock: seconds since the boot, by which the journal says when something was given.
        """
        self.problem = ""
        self.active: Callable[[], bool] = lambda: True
        """Whether extended resources are served at all; what pods have is looked after in any case."""
        self.leads: Callable[[], bool] = lambda: True
        """Whether no younger instance does this."""
        self.kept: Callable[[Collection[Name], float], Collection[Name]] = lambda _names, _now: ()
        """Which IDs that were never listed somebody has all the same, asked just after each list."""
        self._holder = holder
        self._offers = offers
        self._ask = ask
        self._metrics = metrics
        self._node = node
        self._in_pod = in_pod
        self._clock = clock
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._missing: dict[Name, float] = {}
        self._unknown: dict[Name, float] = {}
        self._admitted: dict[Name, float] = {}
        self._empty: float | None = None
        self._told: set[Name] = set()

    def look_again(self) -> None:
        """Look soon: something was given. Cheap, never blocks."""
        self._wake.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_LEAST)
            self._wake.clear()
            await self.look()
            try:
                async with asyncio.timeout(APART if self._missing or self._unknown else EVERY):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def look(self, *, first: bool = False) -> None:
        """Ask once, release what nobody has and hold what somebody has: what it has for a while, or at the `first` look."""
        async with self._turn:
            await self._look(since=0.0 if first else APART)

    async def _look(self, since: float) -> None:
        held = {(h.resource, h.id): h for h in self._holder.held()}
        if not self.leads() or not (held or self.active()):
            return self._forget()
        try:
            listing = await self._ask()
        except HostError as err:
            self._trouble(err)
            self._empty = None
            return self._forget()
        self._trouble(None)
        now = self._clock()
        if not self._knows_its_pods(listing, now):
            return self._forget()
        self._admitted = {n: h.since for n, h in held.items() if self._is_admitted(n, h, listing)}
        gone = self._gone(held, listing, now)
        new = [n for n in listing.held if not _is_held(held.get(n)) and self._offers(n)]
        self._missing, lost = _lasting(self._missing, gone, now, APART)
        self._unknown, found = _lasting(self._unknown, new, now, since)
        await asyncio.gather(*(self._release(held[name]) for name in lost))
        await asyncio.gather(*(self._take(name, listing.held[name]) for name in found))
        return None

    def _gone(self, held: Mapping[Name, Held], listing: Listing, now: float) -> list[Name]:
        """What no pod has, by the list; what was never in one is left to a veto, too."""
        over = [n for n, h in held.items() if n in self._admitted or now - h.since >= GRACE]
        gone = [name for name in over if name not in listing.held]
        kept = self.kept([name for name in gone if name not in self._admitted], now)
        return [name for name in gone if name not in kept]

    def _forget(self) -> None:
        """Nothing is known, so whatever was missing has to be missing anew."""
        self._missing.clear()
        self._unknown.clear()

    def _knows_its_pods(self, listing: Listing, now: float) -> bool:
        """Whether the list is a whole one.

        A kubelet reads what it gave to pods before it takes any pod, and gets all of the API server's at once. So one
        pod of the API server is proof. Without any, it may have just started, and the API server may be away.
        """
        if any(not name.endswith(f"-{self._node}") for _, name in listing.pods):
            self._empty = None
            return True
        self._empty = now if self._empty is None else self._empty
        return not self._in_pod and now - self._empty >= EMPTY

    def _is_admitted(self, name: Name, held: Held, listing: Listing) -> bool:
        """Whether the pod that was given it last has been listed with it: then nothing is to come any more."""
        return name in listing.held or self._admitted.get(name) == held.since

    async def _release(self, held: Held) -> None:
        _log.info("no pod has a device any more", extra={"resource": held.resource, "id": held.id})
        if await self._holder.release(held):  # the claim path has logged why
            self._missing[held.resource, held.id] = self._clock() + AGAIN - APART

    async def _take(self, name: Name, pod: str) -> None:
        """Hold what a pod has; if something else holds it, one device is in two hands, and people must know."""
        resource, identifier = name
        details = {"resource": resource, "id": identifier, "pod": pod}
        try:
            await self._holder.allocate(resource, (identifier,), time.monotonic() + _PATIENCE)
        except PydraError as err:
            self._unknown[name] = self._clock() + AGAIN - APART
            if name not in self._told:
                self._told.add(name)
                self._metrics.background_error(err.reason)
                _log.error(
                    "a pod has a device that cannot be held", extra={**details, "why": str(err)}
                )
        else:
            self._told.discard(name)
            _log.warning("a pod has a device that was not held", extra=details)

    def _trouble(self, err: HostError | None) -> None:
        """Say once that the kubelet cannot be asked, and once that it can."""
        text = str(err) if err else ""
        if err:
            self._metrics.background_error(err.reason)
        if bool(text) != bool(self.problem):
            level = logging.WARNING if text else logging.INFO
            _log.log(
                level,
                "releases are not seen" if text else "releases are seen again",
                extra={"why": text},
            )
        self.problem = text


def _is_held(held: Held | None) -> bool:
    """Whether it is prepared, as far as is known: what was so in another boot has to be prepared again."""
    return held is not None and held.since > 0


def _lasting(
    since: dict[Name, float], now_so: Iterable[Name], now: float, enough: float
) -> tuple[dict[Name, float], list[Name]]:
    """Since when each has been so, and for which it has been so for long enough."""
    times = {name: since.get(name, now) for name in now_so}
    return times, [name for name, first in times.items() if now - first >= enough]
