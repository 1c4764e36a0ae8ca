"""How large the parts of a device can be, by the way to them from `device` (Kubernetes' limits of ResourceSlice).

The estimate of an expression's worst cost rests on it. A way is the path through the expression: field names,
and `@keys`, `@values` or `@items` for what is inside a map or list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydra_testbed.cel.ranges import Range

_DOMAIN, _NAME, _DRIVER, _VALUE, _ENTRIES = 63, 32, 63, 64, 32


@dataclass(frozen=True, slots=True)
class _Part:
    """One type: its largest size, and what is inside; `any_name` where every name leads to `values`."""

    most: int
    keys: _Part | None = None
    values: _Part | None = None
    fields: dict[str, _Part] = field(default_factory=dict)
    any_name: bool = False


_QUANTITY = _Part(0)
_ATTRIBUTES = _Part(_ENTRIES, _Part(_NAME), _Part(_VALUE), any_name=True)
_CAPACITY = _Part(_ENTRIES, _Part(_NAME), _QUANTITY)
_DEVICE = _Part(
    0,
    fields={
        "driver": _Part(_DRIVER),
        "allowMultipleAllocations": _Part(1),
        "attributes": _Part(_ENTRIES, _Part(_DOMAIN), _ATTRIBUTES),
        "capacity": _Part(_ENTRIES, _Part(_DOMAIN), _CAPACITY),
    },
)


def size_of(path: Sequence[str]) -> Range | None:
    """The range of sizes of what the path leads to; None where nothing is known."""
    if not path or path[0] != "device":
        return None
    part: _Part | None = _DEVICE
    for step in path[1:]:
        part = _inside(part, step) if part is not None else None
    return None if part is None else Range(0, part.most)


def _inside(part: _Part, step: str) -> _Part | None:
    if step in {"@items", "@values"}:
        return part.values
    if step == "@keys":
        return part.keys
    return part.values if part.any_name else part.fields.get(step)
