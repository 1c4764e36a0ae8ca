"""What a rule may know beyond the object: the time, the CEL compiler, the gates, the namespace.

Built by the request core once per write and handed to defaulting and validation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

CelCheck: TypeAlias = Callable[[str], str | None]
"""Compiles a device selector: the API server's complaint, or None when the expression is fine.

The complaint is the text behind `Invalid value: "<expression>": `, with one exception: a text that starts
with `too complex` is answered as Forbidden, as Kubernetes does when the cost limit is exceeded.
"""

DEFAULT_GATES: Mapping[str, bool] = MappingProxyType(
    {
        "DRAConsumableCapacity": True,
        "DRADeviceBindingConditions": True,
        "DRADeviceTaints": True,
        "DRAExtendedResource": True,
        "DRAListTypeAttributes": False,
        "DRANodeAllocatableResources": False,
        "DRAPartitionableDevices": True,
        "DRAResourceClaimDeviceStatus": True,
    }
)
"""Feature gates that drop fields, with their defaults in Kubernetes 1.36."""


def no_cel_check(_expression: str) -> str | None:
    """Accept every expression."""
    return None


@dataclass(frozen=True, slots=True)
class Context:
    """One write's surroundings; `now` is RFC 3339."""

    now: str
    cel_check: CelCheck = no_cel_check
    gates: Mapping[str, bool] = field(default_factory=lambda: DEFAULT_GATES)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
