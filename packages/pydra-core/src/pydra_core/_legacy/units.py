"""What is offered to pods without claims: each device ID with the claim of our own making that stands for it.

Made anew from what the driver says after each discovery. A resource with a fault is not offered, and the operator is
told every fault; another resource's pods do not suffer for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydra_core._api.pools import local_pools
from pydra_core._api.wanted import Key
from pydra_core._legacy.encoding import LARGEST, entry
from pydra_core._legacy.names import id_fault, name_fault
from pydra_core._state.records import DeviceUse
from pydra_core._values import Allocation, Capacity, Claim, ClaimRef, Device, Inventory
from pydra_core.resources import Resource, ResourceDevice
from pydra_core.values import NUMA_NODE

REQUEST = "resource"
"""The request's name in claims of our own making."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Unit:
    """One device ID of one resource."""

    ref: ClaimRef
    uses: tuple[DeviceUse, ...]
    numa_nodes: tuple[int, ...] = ()
    is_unfit: bool = False
    """The driver itself says that no new pod should have it, by a taint of a device."""

    @property
    def keys(self) -> tuple[Key, ...]:
        """The devices it stands for."""
        return tuple((use.pool, use.device) for use in self.uses)

    @property
    def claim(self) -> Claim:
        """What the driver is asked to prepare."""
        allocations = tuple(
            Allocation(
                request=REQUEST,
                pool=u.pool,
                device=u.device,
                share_id=u.share_id,
                consumed=u.consumed,
            )
            for u in self.uses
        )
        return Claim(ref=self.ref, allocations=allocations)


@dataclass(frozen=True, slots=True)
class Offer:
    """All resources that are offered now; `units` by resource and ID, `faults` are why others are not."""

    resources: Mapping[str, Resource] = field(default_factory=dict)
    units: Mapping[str, Mapping[str, Unit]] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def find(self, ref: ClaimRef) -> Unit | None:
        """The unit of an ID, if it is offered."""
        return self.units.get(ref.resource, {}).get(ref.name)

    def all_units(self) -> Iterator[Unit]:
        """Those of all resources."""
        for units in self.units.values():
            yield from units.values()


class Offering:
    """Makes the offers of one driver on one node."""

    def __init__(self, driver: str, node: str) -> None:
        self._space = uuid.uuid5(uuid.NAMESPACE_DNS, driver)
        self._node = node

    def ref(self, resource: str, device_id: str) -> ClaimRef:
        """The claim that stands for an ID: always the same, on all nodes."""
        uid = str(uuid.uuid5(self._space, f"{resource}/{device_id}"))
        return ClaimRef(uid=uid, namespace="", name=device_id, resource=resource)

    def make(
        self,
        resources: Sequence[Resource],
        inventory: Inventory,
        before: Offer,
        *,
        with_counters: bool = True,
    ) -> Offer:
        """Look up and check what the driver said of an inventory; a resource with faults stays as it was before.

        Without counters, what draws on any is left out: it is for claims, whose scheduler knows the sums.
        """
        devices = {
            device.name: (pool.name, device)
            for pool in local_pools(inventory, self._node)
            for device in pool.devices
        }
        offered: dict[str, Resource] = {}
        seen: set[str] = set()
        units: dict[str, dict[str, Unit]] = {}
        faults: list[str] = []
        for resource in resources:
            found = [*_faults(resource, devices)]
            if resource.name in seen:
                found.append("is returned twice; return each resource once, with all its devices")
            seen.add(resource.name)
            if found:
                faults.append(_told(resource.name, found))
                if kept := before.resources.get(resource.name):
                    offered.setdefault(resource.name, kept)
                    units.setdefault(resource.name, dict(before.units[resource.name]))
                continue
            offered[resource.name] = resource
            units[resource.name] = {
                each.id: self._unit(resource.name, each, devices)
                for each in resource.devices
                if with_counters or not any(devices[name][1].consumes for name in each.devices)
            }
        return Offer(offered, units, tuple(faults))

    def _unit(
        self, resource: str, given: ResourceDevice, devices: Mapping[str, tuple[str, Device]]
    ) -> Unit:
        share = str(uuid.uuid5(self._space, f"share/{given.share}")) if given.share else ""
        found = [devices[name] for name in given.devices]
        return Unit(
            ref=self.ref(resource, given.id),
            uses=tuple(
                DeviceUse(pool, device.name, share, consumed=_consumed(device) if share else {})
                for pool, device in found
            ),
            numa_nodes=given.numa_nodes or _numa_nodes(device for _, device in found),
            is_unfit=any(t.effect != "None" for _, device in found for t in device.taints),
        )


def _consumed(device: Device) -> dict[str, str]:
    """What a share takes of a device of which nothing special is asked, as the scheduler has it (KEP-5075)."""
    return {
        name: capacity.policy.default
        for name, capacity in device.capacity.items()
        if isinstance(capacity, Capacity) and capacity.policy and capacity.policy.default
    }


def _numa_nodes(devices: Iterator[Device]) -> tuple[int, ...]:
    """Those the devices are at; none if one of them does not tell: half a hint would mislead."""
    nodes = [device.attributes.get(NUMA_NODE) for device in devices]
    known = [node for node in nodes if isinstance(node, int) and node >= 0]
    return tuple(sorted(set(known))) if len(known) == len(nodes) else ()


def _faults(resource: Resource, devices: Mapping[str, tuple[str, Device]]) -> Iterator[str]:
    if fault := name_fault(resource.name):
        yield fault
    seen: set[str] = set()
    size = 0
    for each in resource.devices:
        if fault := id_fault(each.id):
            yield fault
            continue
        if each.id in seen:
            yield f"ID {each.id!r} is there twice; each device needs an ID of its own"
        seen.add(each.id)
        if not each.devices or len(set(each.devices)) < len(each.devices):
            yield f"ID {each.id!r} must stand for one device or more, each named once"
        if unknown := [name for name in each.devices if name not in devices]:
            yield f"ID {each.id!r} stands for {unknown[0]!r}, which discover did not return"
        if any(node < 0 for node in each.numa_nodes):
            yield f"ID {each.id!r}: a NUMA node is 0 or more; leave it out if it is not known"
        known = (devices[name][1] for name in each.devices if name in devices)
        nodes = each.numa_nodes or _numa_nodes(known)
        size += len(entry(each.id, is_well=False, numa_nodes=nodes))
    if size > LARGEST:
        yield (
            f"its {len(seen)} IDs make a list of {size} bytes, and the kubelet takes {LARGEST}; offer fewer, or make"
            " the IDs shorter"
        )


def _told(resource: str, faults: Sequence[str]) -> str:
    more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return f"resource {resource!r}: {'; '.join(faults[:_SHOWN])}{more} (a bug of the driver)"
