"""What shall be published: the inventory, plus what the framework knows of its devices, less what the server drops.

Called by the publisher. What the framework adds are taints, of sick devices and of those an operator set aside, and
devices that a claim still holds although `discover` finds them no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydra_core._api.gates import dropped_error, dropped_fields, without
from pydra_core._api.plan import Body
from pydra_core._api.render import (
    MAX_DEVICES,
    MAX_DEVICES_ADVANCED,
    Rendered,
    render,
    split,
    taint_bodies,
)
from pydra_core._values import Inventory, Taint
from pydra_core.errors import DroppedFieldsError

_MOST_TAINTS = 16


@dataclass(frozen=True, slots=True)
class Marks:
    """What the framework knows of the devices of the node's pool, by name.

    Attributes:
        taints: To add to what the driver says.
        held: In the hands of a claim.
        is_unobserved: Nothing is known of this device's health yet, so a taint that an earlier process gave stays.
    """

    taints: Mapping[str, tuple[Taint, ...]] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    is_unobserved: Callable[[str], bool] = lambda _: False


class Wanted:
    """The wish of one pool."""

    def __init__(self, driver: str, *, may_taint: bool = False) -> None:
        """Begin without one.

        Args:
            driver: the driver's name.
            may_taint: taints will come and go, so slices are small enough for them from the start: else one sick
                device would move all others.
        """
        self.unhealthy_key = f"{driver}/unhealthy"
        self._gone = Taint(key=f"{driver}/gone")
        self._most = MAX_DEVICES_ADVANCED if may_taint else MAX_DEVICES
        self._rendered: Rendered | None = None
        self._dropped: frozenset[str] = frozenset()
        self._remembered: dict[str, Body] = {}
        self.marks: Callable[[], Marks] = Marks
        self.tainted = 0

    def set(self, inventory: Inventory) -> bool:
        """Wish for this inventory from now on; says whether that is news."""
        rendered = render(inventory)
        changed = rendered != self._rendered
        self._rendered = rendered
        return changed

    def contents(self, existing: Iterable[Body]) -> list[dict[str, Any]] | None:
        """What each slice shall hold, beside `existing` ones; None while nothing was wished for."""
        if self._rendered is None:
            return None
        marks = self.marks()
        published = {d["name"]: d for e in existing for d in e["spec"].get("devices") or []}
        devices = [*self._rendered.devices, *self._vanished(marks.held, published)]
        tainted = tuple(self._tainted(d, marks, published) for d in devices)
        self.tainted = sum("taints" in d for d in tainted)
        contents = split(Rendered(self._rendered.counter_sets, tainted), self._most)
        return [without(content, self._dropped) for content in contents]

    def adopt(self, sent: Body, stored: Body) -> DroppedFieldsError | None:
        """Compare what was sent with what is stored; what was dropped is not wished for again."""
        dropped = dropped_fields(sent["spec"], stored["spec"])
        if not dropped:
            return None
        self._dropped |= dropped
        return dropped_error(stored["metadata"]["name"], dropped)

    def _vanished(self, held: Iterable[str], published: Mapping[str, Body]) -> list[Body]:
        """Devices a claim holds that `discover` finds no more: they stay, tainted, until they are released."""
        assert self._rendered is not None  # noqa: S101 (told by the caller)
        found = {d["name"] for d in self._rendered.devices}
        counters = {s["name"] for s in self._rendered.counter_sets}
        vanished = []
        before, self._remembered = self._remembered, {}
        for name in sorted(set(held) - found):
            known = published.get(name) or before.get(name) or {"name": name}
            self._remembered[name] = known
            body = {k: v for k, v in known.items() if k not in ("taints", "consumesCounters")}
            consumes = [
                c for c in known.get("consumesCounters") or [] if c["counterSet"] in counters
            ]
            body |= {"consumesCounters": consumes} if consumes else {}
            vanished.append(body | {"taints": taint_bodies([self._gone])})
        return vanished

    def _tainted(self, device: Body, marks: Marks, published: Mapping[str, Body]) -> Body:
        """The device with the taints the framework gives it, before its own."""
        name = device["name"]
        given = taint_bodies(marks.taints.get(name, ()))
        if marks.is_unobserved(name) and name in published:
            given += [
                {k: v for k, v in taint.items() if k != "timeAdded"}
                for taint in published[name].get("taints") or []
                if taint["key"] == self.unhealthy_key
            ]
        if not given:
            return device
        return {**device, "taints": [*given, *device.get("taints", [])][:_MOST_TAINTS]}
