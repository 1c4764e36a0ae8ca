"""Pools of a node: which slices count, which pools are complete and sound, in the order they are searched.

A pool is its slices of the highest generation; it is usable once `resourceSliceCount` of them exist
(KEP-4381). Order decides the allocation, because the first fit wins: pools by driver and pool name, pools
with binding conditions last, slices by name, devices as listed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydra_testbed.scheduler.model import AllocationError, Counters, Device, Node, PoolId, Slice
from pydra_testbed.scheduler.nodes import placement_matches


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """One pool as seen from one node; a pool that is incomplete or invalid offers no devices."""

    id: PoolId
    devices: tuple[Device, ...] = ()
    elsewhere: tuple[Device, ...] = ()
    counters: Mapping[str, Counters] = field(default_factory=dict)
    is_incomplete: bool = False
    invalid: str = ""

    @property
    def is_usable(self) -> bool:
        return not self.is_incomplete and not self.invalid

    @property
    def has_binding_conditions(self) -> bool:
        return any(device.binding_conditions for device in self.devices)


class Inventory:
    """All slices of the cluster; what one node sees of them is worked out once and remembered."""

    def __init__(self, slices: Iterable[Slice]) -> None:
        self._by_pool: dict[PoolId, list[Slice]] = defaultdict(list)
        self._on_node: dict[str, list[Slice]] = defaultdict(list)
        self._shared: list[Slice] = []
        for item in sorted(slices, key=lambda each: each.name):
            self._by_pool[item.pool].append(item)
            owner = item.placement.node_name
            (self._on_node[owner] if owner else self._shared).append(item)
        self._pools: dict[str, tuple[Node, tuple[Pool, ...]]] = {}

    def pools_for(self, node: Node) -> tuple[Pool, ...]:
        """The pools with devices for this node, in search order.

        Raises:
            AllocationError: a node selector is malformed.
        """
        known = self._pools.get(node.name)
        if known is not None and known[0] == node:
            return known[1]
        pools = self._gather(node)
        self._pools[node.name] = (node, pools)
        return pools

    def _gather(self, node: Node) -> tuple[Pool, ...]:
        seen: dict[PoolId, list[Slice]] = defaultdict(list)
        for item in (*self._on_node.get(node.name, ()), *self._shared):
            if _is_relevant(item, node):
                seen[item.pool].append(item)
        pools = [pool for key, slices in seen.items() if (pool := self._build(key, slices))]
        return tuple(sorted(pools, key=lambda pool: (pool.has_binding_conditions, pool.id)))

    def _build(self, pool: PoolId, seen: Sequence[Slice]) -> Pool | None:
        """Assemble a pool; None when a newer generation exists that has nothing for this node."""
        generation = max(item.generation for item in seen)
        here = [item for item in seen if item.generation == generation]
        everywhere = self._by_pool[pool]
        expected = here[0].slices_in_pool
        if len(here) == expected:
            return _sound_pool(pool, here, here)
        if any(item.generation > generation for item in everywhere):
            return None
        current = [item for item in everywhere if item.generation == generation]
        if len(current) != expected:
            return Pool(pool, is_incomplete=True)
        return _sound_pool(pool, here, current)


def _is_relevant(item: Slice, node: Node) -> bool:
    if item.shared_counters is not None:
        return True  # Counters belong to the pool, wherever its devices are.
    try:
        if item.placement.is_given:
            return placement_matches(item.placement, node)
        return any(
            device.selects_nodes and placement_matches(device.placement, node)
            for device in item.devices
        )
    except AllocationError as problem:
        raise AllocationError(
            f"gather pool information: failed to perform node selection for slice {item.name}: {problem}"
        ) from problem


def _sound_pool(pool: PoolId, here: Sequence[Slice], everywhere: Sequence[Slice]) -> Pool:
    here = sorted(here, key=lambda item: item.name)
    devices = tuple(device for item in here for device in item.devices)
    elsewhere = tuple(device for item in everywhere if item not in here for device in item.devices)
    counters: dict[str, Counters] = {}
    problem = _duplicate("device name", (device.id.name for device in devices))
    for item in here:
        for name, counter_set in (item.shared_counters or {}).items():
            problem = problem or (f"duplicate counter set name {name}" if name in counters else "")
            counters[name] = counter_set
    problem = problem or _unknown_counter(counters, (*devices, *elsewhere))
    return Pool(pool, invalid=problem) if problem else Pool(pool, devices, elsewhere, counters)


def _duplicate(what: str, names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return f"duplicate {what} {name}"
        seen.add(name)
    return ""


def _unknown_counter(counters: Mapping[str, Counters], devices: Iterable[Device]) -> str:
    for device in devices:
        for set_name, used in device.consumes:
            if set_name not in counters:
                return f"counter set {set_name} not found"
            for name in used:
                if name not in counters[set_name]:
                    return f"counter {name} not found in counter set {set_name}"
    return ""
