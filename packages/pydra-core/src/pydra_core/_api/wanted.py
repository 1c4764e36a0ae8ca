"""What shall be published: the pools, plus what the framework knows of their devices, less what the server drops.

Called by the publisher. What the framework adds are taints, of sick devices and of those an operator set aside, and
devices that a claim still holds although `discover` finds them no more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydra_core._api.gates import dropped_error, dropped_fields, without
from pydra_core._api.plan import Body
from pydra_core._api.pools import SELECTIONS, selection
from pydra_core._api.render import (
    MAX_DEVICES,
    MAX_DEVICES_ADVANCED,
    Rendered,
    render,
    split,
    taint_bodies,
)
from pydra_core._values import Pool, Taint
from pydra_core.errors import DroppedFieldsError

Key: TypeAlias = tuple[str, str]
"""Pool, as the API knows it, and device."""

_MOST_TAINTS = 16


@dataclass(frozen=True, slots=True)
class Marks:
    """What the framework knows of devices.

    Attributes:
        taints: To add to what the driver says.
        held: In the hands of a claim.
        is_unobserved: Nothing is known of this device's health yet, so a taint that an earlier process gave stays.
    """

    taints: Mapping[Key, tuple[Taint, ...]] = field(default_factory=dict)
    held: frozenset[Key] = frozenset()
    is_unobserved: Callable[[Key], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class _Wish:
    """One pool: which nodes reach it, what is in it, and the names of its devices."""

    nodes: Mapping[str, Any]
    rendered: Rendered
    names: frozenset[str] = frozenset()


class _Published:
    """The devices the API holds, by pool and name, and which nodes reach the pools."""

    def __init__(self, existing: Iterable[Body]) -> None:
        self.devices: dict[str, dict[str, Body]] = {}
        self._nodes: dict[str, Mapping[str, Any]] = {}
        for spec in (body["spec"] for body in existing):
            pool = spec["pool"]["name"]
            self._nodes[pool] = {f: spec[f] for f in SELECTIONS if spec.get(f) is not None}
            devices = self.devices.setdefault(pool, {})
            devices.update((device["name"], device) for device in spec.get("devices") or [])

    def get(self, key: Key) -> tuple[Mapping[str, Any], Body] | None:
        """Who reaches a device, and the device."""
        body = self.devices.get(key[0], {}).get(key[1])
        return None if body is None else (self._nodes[key[0]], body)


class Wanted:
    """The wish of one publisher: all pools it is to publish."""

    def __init__(self, driver: str, node: str = "", *, may_taint: bool = False) -> None:
        """Begin without one.

        Args:
            driver: the driver's name.
            node: whose pools they are; empty for pools of the cluster.
            may_taint: taints will come and go, so slices are small enough for them from the start: else one sick
                device would move all others.
        """
        self.unhealthy_key = f"{driver}/unhealthy"
        self._node = node
        self._gone = Taint(key=f"{driver}/gone")
        self._most = MAX_DEVICES_ADVANCED if may_taint else MAX_DEVICES
        self._wishes: dict[str, _Wish] | None = None
        self._kept: frozenset[str] = frozenset()
        self._dropped: frozenset[str] = frozenset()
        self._remembered: dict[Key, tuple[Mapping[str, Any], Body]] = {}
        self.marks: Callable[[], Marks] = Marks
        self.cut: Callable[[Rendered, int], list[Body]] = split
        self.tainted = 0

    @property
    def devices(self) -> tuple[Key, ...]:
        """What is wished for, in order."""
        wishes = (self._wishes or {}).items()
        return tuple((pool, d["name"]) for pool, wish in wishes for d in wish.rendered.devices)

    @property
    def counts(self) -> bool:
        """Whether any pool has shared counters."""
        return any(wish.rendered.counter_sets for wish in (self._wishes or {}).values())

    def set(self, pools: Iterable[Pool], kept: Collection[str] = ()) -> bool:
        """Wish for these pools from now on; says whether that is news.

        `kept` are pools that exist and whose wish cannot be fulfilled: they stay as they are.
        """
        before, were = self._wishes, self._kept
        wishes = {
            pool.name: _Wish(
                selection(pool, self._node), render(pool), frozenset(d.name for d in pool.devices)
            )
            for pool in pools
        }
        wishes |= {name: wish for name, wish in (before or {}).items() if name in kept}
        self._wishes, self._kept = wishes, frozenset(kept)
        return (wishes, self._kept) != (before, were)

    def contents(self, existing: Iterable[Body]) -> dict[str, list[dict[str, Any]] | None] | None:
        """What each slice of each pool shall hold, beside `existing` ones; None while nothing was wished for.

        A pool whose contents are None is to be left alone.
        """
        if self._wishes is None:
            return None
        marks, published = self.marks(), _Published(existing)
        vanished = self._vanished(marks.held, published)
        homes = self._homes(vanished, published)
        wishes = self._wishes | {
            pool: _Wish(nodes, Rendered((), ()))
            for (pool, _), (nodes, _body) in vanished.items()
            if pool not in self._wishes
        }
        contents: dict[str, list[dict[str, Any]] | None] = dict.fromkeys(self._kept - wishes.keys())
        self.tainted = 0
        for pool, wish in wishes.items():
            devices = [d for d in wish.rendered.devices if homes.get(d["name"], pool) == pool] + [
                self._stays(wish, body)
                for (home, _), (_n, body) in vanished.items()
                if home == pool
            ]
            tainted = tuple(self._tainted((pool, d["name"]), d, marks, published) for d in devices)
            self.tainted += sum("taints" in d for d in tainted)
            parts = self.cut(Rendered(wish.rendered.counter_sets, tainted), self._most)
            contents[pool] = [without({**wish.nodes, **p}, self._dropped) for p in parts]
        return contents

    def _homes(self, vanished: Iterable[Key], published: _Published) -> dict[str, str]:
        """The devices that are still in a pool others may have taken them to: no device is in two."""
        homes: dict[str, str] = {}
        for pool in self._kept:
            wish = (self._wishes or {}).get(pool)
            homes |= dict.fromkeys(published.devices.get(pool, ()), pool)
            homes |= dict.fromkeys(wish.names if wish else (), pool)
        return homes | {name: pool for pool, name in vanished}

    def adopt(self, sent: Body, stored: Body) -> DroppedFieldsError | None:
        """Compare what was sent with what is stored; what was dropped is not wished for again."""
        dropped = dropped_fields(sent["spec"], stored["spec"])
        if not dropped:
            return None
        self._dropped |= dropped
        return dropped_error(stored["metadata"]["name"], dropped)

    def _vanished(
        self, held: Iterable[Key], published: _Published
    ) -> dict[Key, tuple[Mapping[str, Any], Body]]:
        """Devices a claim holds that `discover` finds no more: they stay, tainted, until they are released."""
        wished = self._wishes or {}
        before, self._remembered = self._remembered, {}
        for key in sorted(held):
            pool, name = key
            wish = wished.get(pool)
            if pool in self._kept or (wish and name in wish.names):
                continue
            nodes, body = published.get(key) or before.get(key) or ({}, {"name": name})
            nodes = wish.nodes if wish else nodes or selection(Pool(pool), self._node)
            self._remembered[key] = (nodes, body)
        return self._remembered

    def _stays(self, wish: _Wish, known: Body) -> Body:
        """A device that has vanished: as it was published, tainted, with the counters that are still there."""
        counters = {s["name"] for s in wish.rendered.counter_sets}
        selects = "perDeviceNodeSelection" in wish.nodes
        left_out = ("taints", "consumesCounters", *(() if selects else SELECTIONS))
        body = {k: v for k, v in known.items() if k not in left_out}
        if selects and not body.keys() & set(SELECTIONS):
            body["allNodes"] = True  # nobody knows any more who reached it, and nobody gets it
        consumes = [c for c in known.get("consumesCounters") or [] if c["counterSet"] in counters]
        body |= {"consumesCounters": consumes} if consumes else {}
        return body | {"taints": taint_bodies([self._gone])}

    def _tainted(
        self,
        key: Key,
        device: Body,
        marks: Marks,
        published: _Published,
    ) -> Body:
        """The device with the taints the framework gives it, before its own."""
        given = taint_bodies(marks.taints.get(key, ()))
        if marks.is_unobserved(key) and (known := published.get(key)):
            given += [
                {k: v for k, v in taint.items() if k != "timeAdded"}
                for taint in known[1].get("taints") or []
                if taint["key"] == self.unhealthy_key
            ]
        if not given:
            return device
        return {**device, "taints": [*given, *device.get("taints", [])][:_MOST_TAINTS]}
