"""Which of the free IDs suit one container best: what the driver says, checked, or else the nearest and first ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from pydra_core._legacy.units import Unit
from pydra_core.driver import Driver
from pydra_core.resources import Resource

_log = logging.getLogger(__name__)


def preferred(
    driver: Driver,
    resource: Resource,
    units: Mapping[str, Unit],
    available: Sequence[str],
    must_include: Sequence[str],
    size: int,
) -> list[str]:
    """Choose `size` of the available IDs, or all if there are fewer; those that must be are among them."""
    size = min(size, len(set(available) | set(must_include)))
    if driver.has_preference:
        try:
            chosen = list(driver.prefer(resource, tuple(available), tuple(must_include), size))
            fault = _fault(chosen, available, must_include, size)
        except Exception:  # noqa: BLE001 (advice: without it pods go on)
            _log.exception("driver's preference failed, the framework's own holds")
        else:
            if not fault:
                return chosen
            details = {"resource": resource.name, "why": fault}
            _log.error(
                "driver's preference cannot be used, the framework's own holds", extra=details
            )
    return nearest(resource, units, available, must_include, size)


def nearest(
    resource: Resource,
    units: Mapping[str, Unit],
    available: Sequence[str],
    must_include: Sequence[str],
    size: int,
) -> list[str]:
    """Keep to one NUMA node where that is possible, to few otherwise; then to the order of the resource."""
    order = {each.id: index for index, each in enumerate(resource.devices)}
    place: Callable[[str], int] = lambda name: order.get(name, len(order))  # noqa: E731 (a key for sorting)
    chosen = list(dict.fromkeys(must_include))[:size]
    free = sorted(set(available) - set(chosen), key=place)
    near = _count(units, chosen)
    rooms: dict[int, list[str]] = {}
    for name in free:
        rooms.setdefault(_node(units, name), []).append(name)
    while len(chosen) < size:
        missing = size - len(chosen)
        node = max(
            rooms,
            key=lambda n: (n in near, min(len(rooms[n]), missing), -place(rooms[n][0])),
        )
        chosen += rooms.pop(node)[:missing]
    return chosen


def _fault(
    chosen: Sequence[str], available: Sequence[str], must_include: Sequence[str], size: int
) -> str:
    """What is wrong with a driver's choice: the kubelet would take no notice of it."""
    if strange := set(chosen) - set(available) - set(must_include):
        return f"{min(strange)!r} is not available"
    if missing := set(must_include) - set(chosen):
        return f"{min(missing)!r} must be among them"
    if len(set(chosen)) != size or len(chosen) != size:
        return f"{len(chosen)} are chosen, {size} different ones are wanted"
    return ""


def _node(units: Mapping[str, Unit], name: str) -> int:
    """The first NUMA node of an ID; those of which none is known are together."""
    unit = units.get(name)
    return unit.numa_nodes[0] if unit and unit.numa_nodes else -1


def _count(units: Mapping[str, Unit], names: Sequence[str]) -> set[int]:
    return {_node(units, name) for name in names}
