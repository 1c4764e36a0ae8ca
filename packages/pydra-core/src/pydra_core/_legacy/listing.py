"""What the kubelet is told of each resource's IDs: which can be had, kept up with what else happens on the node.

An ID cannot be had while one of its devices is sick, set aside, or in the hands of a claim or of another ID. Only
those whose devices something happened to are looked at again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from pydra_core._api.wanted import Key
from pydra_core._legacy.encoding import entry
from pydra_core._legacy.marks import Silicon
from pydra_core._legacy.units import Offer, Unit
from pydra_core._state.ledger import Change, Ledger

_log = logging.getLogger(__name__)
_GATHER = 0.02
"""Seconds in which changes are gathered, so that many at once are one list."""


class Listing:
    """The lists of all resources of one driver."""

    def __init__(
        self,
        ledger: Callable[[], Ledger],
        unfit: Callable[[], frozenset[Key]],
        silicon: Silicon,
    ) -> None:
        """Begin with nothing on offer.

        Args:
            ledger: what is in whose hands now.
            unfit: the devices that no new pod should have.
            silicon: which devices are partly the same.
        """
        self._ledger = ledger
        self._unfit = unfit
        self._silicon = silicon
        self._offer = Offer()
        self._entries: dict[str, dict[str, bytes]] = {}
        self._units_of: dict[Key, list[Unit]] = {}
        self._units_of_share: dict[tuple[Key, str], list[Unit]] = {}
        self._beside: dict[
            str, frozenset[Key]
        ] = {}  # by UID, the devices that draw on the same counters
        self._known_unfit: frozenset[Key] = frozenset()
        self._seen: tuple[Ledger, int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._readers: dict[str, set[asyncio.Event]] = {}

    def take(self, offer: Offer) -> None:
        """Take over what is on offer, and look at all of it."""
        self._offer = offer
        self._index()
        before, self._entries = self._entries, {name: {} for name in offer.units}
        self._seen = None
        self._look(self._to_look_at())
        for name, entries in self._entries.items():
            if before.get(name) != entries:
                self._tell(name)

    def whole(self, resource: str) -> bytes:
        """The complete list of one resource, encoded."""
        return b"".join(self._entries.get(resource, {}).values())

    def look_again(self) -> None:
        """Take note that health or holders of devices may have changed. Cheap."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER, self._look_again)

    def add_reader(self, resource: str, news: asyncio.Event) -> None:
        """Have `news` set whenever the list of this resource is another."""
        self._readers.setdefault(resource, set()).add(news)

    def remove_reader(self, resource: str, news: asyncio.Event) -> None:
        self._readers.get(resource, set()).discard(news)

    def send_again(self) -> None:
        """Have every list sent once more, although it is the same: the kubelet writes its own file then."""
        for news in {each for readers in self._readers.values() for each in readers}:
            news.set()

    def close(self) -> None:
        """Leave out the look that is due; whoever serves again looks at all, or asks for another."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _index(self) -> None:
        self._units_of, self._units_of_share, self._beside = {}, {}, {}
        for unit in self._offer.all_units():
            touched = frozenset[Key]().union(*map(self._silicon.touched, unit.keys))
            for key in touched:
                self._units_of.setdefault(key, []).append(unit)
            for use in unit.uses:
                share = (use.pool, use.device), use.share_id
                self._units_of_share.setdefault(share, []).append(unit)
            if beside := touched.difference(unit.keys):
                self._beside[unit.ref.uid] = beside

    def _look_again(self) -> None:
        self._timer = None
        for name in self._look(self._to_look_at()):
            self._tell(name)

    def _to_look_at(self) -> Iterable[Unit]:
        """The units that something may have happened to since this was asked last."""
        ledger, seen, unfit = self._ledger(), self._seen, self._unfit()
        keys = unfit ^ self._known_unfit
        self._seen, self._known_unfit = (ledger, ledger.version), unfit
        changes = ledger.since(seen[1]) if seen and seen[0] is ledger else None
        if changes is None:
            return self._offer.all_units()
        found = [unit for key in keys for unit in self._units_of.get(key, ())]
        for change in set(changes):
            found += self._concerned(change)
        return {unit.ref.uid: unit for unit in found}.values()

    def _concerned(self, change: Change) -> list[Unit]:
        """A share that goes to a pod is nothing to other shares, of which there may be thousands."""
        if not (change.share and change.is_legacy):
            return self._units_of.get(change.device, [])
        shares = self._units_of_share
        return [
            *shares.get((change.device, change.share), ()),
            *shares.get((change.device, ""), ()),
        ]

    def _look(self, units: Iterable[Unit]) -> set[str]:
        """Encode what holds of these units; returns the resources whose list is another now."""
        ledger = self._ledger()
        changed: set[str] = set()
        for unit in units:
            encoded = entry(
                unit.ref.name, is_well=self._is_well(unit, ledger), numa_nodes=unit.numa_nodes
            )
            entries = self._entries[unit.ref.resource]
            if entries.get(unit.ref.name) != encoded:
                entries[unit.ref.name] = encoded
                changed.add(unit.ref.resource)
        return changed

    def _is_well(self, unit: Unit, ledger: Ledger) -> bool:
        if unit.is_unfit or not self._known_unfit.isdisjoint(unit.keys):
            return False
        if ledger.in_the_way(unit.ref.uid, unit.uses, is_legacy=True):
            return False
        return not any(
            not record.resource
            for key in self._beside.get(unit.ref.uid, ())
            for record in ledger.holders(*key)
        )

    def _tell(self, resource: str) -> None:
        _log.info("devices of a resource changed", extra={"resource": resource})
        for news in self._readers.get(resource, ()):
            news.set()
