"""What a driver promises of its devices' attributes and capacities, and whether an inventory keeps it.

A selector that names an attribute one device lacks makes a pod unschedulable, so attributes are the driver's
interface: declared once in the class, shown by `discover`, held to in tests by `schema_faults`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pydra_core._values import Capacity, Device, Inventory, Version

Kind: TypeAlias = type[bool] | type[int] | type[str] | type[Version] | type[Capacity]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute, or capacity if `type` is `Capacity`. `optional` ones may be missing; guard for them in CEL."""

    type: Kind
    meaning: str
    unit: str = ""
    optional: bool = False


Schema: TypeAlias = Mapping[str, Attribute]


def schema_faults(schema: Schema, inventory: Inventory) -> tuple[str, ...]:
    """Where devices differ from what their driver declares; nothing for a driver that declares nothing."""
    if not schema:
        return ()
    return tuple(fault for device in inventory.all_devices for fault in _faults(schema, device))


def _faults(schema: Schema, device: Device) -> Iterator[str]:
    where = f"device {device.name!r}"
    kinds = {name: _kind(value) for name, value in device.attributes.items()}
    kinds |= dict.fromkeys(device.capacity, "Capacity")
    for name, kind in kinds.items():
        declared = schema.get(name)
        if declared is None:
            yield f"{where}: {name} is not declared; add it to the driver's `attributes`"
        elif declared.type.__name__ != kind:
            yield f"{where}: {name} is {kind}, declared as {declared.type.__name__}"
    for name, declared in schema.items():
        if name not in kinds and not declared.optional:
            yield f"{where}: {name} is missing; publish it, or declare it optional"


def _kind(value: object) -> str:
    return type(value).__name__
