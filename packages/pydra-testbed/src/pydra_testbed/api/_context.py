"""What a rule may know beyond the object: the time, the CEL compiler, the gates, the namespace.

Built by the request core once per write and handed to defaulting and validation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from pydra_testbed.cel import Features

CelCheck: TypeAlias = Callable[[str, Features], str | None]
"""Compiles a device selector: the API server's complaint, or None when the expression is fine.

The complaint is the text behind `Invalid value: "<expression>": `, with one exception: a text that starts
with `too complex` is answered as Forbidden, as Kubernetes does when the cost limit is exceeded.
"""

DEFAULT_GATES: Mapping[str, bool] = MappingProxyType(
    {
        "DRAConsumableCapacity": True,
        "DRADeviceTaintRules": False,
        "DRADeviceBindingConditions": True,
        "DRADeviceTaints": True,
        "DRAExtendedResource": True,
        "DRAListTypeAttributes": False,
        "DRANodeAllocatableResources": False,
        "DRAPartitionableDevices": True,
        "DRAPrioritizedList": True,
        "DRAResourceClaimDeviceStatus": True,
        "DRAResourceClaimGranularStatusAuthorization": True,
    }
)
"""Feature gates that drop fields, with their defaults in Kubernetes 1.36."""


def no_cel_check(_expression: str, _features: Features) -> str | None:
    """Accept every expression."""
    return None


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody wants to do: a verb on a resource (with `/subresource`), or on a path that is none."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


def allow(_act: Act) -> str:
    """Everybody may do everything."""
    return ""


_COMPONENT: Mapping[str, object] = MappingProxyType(
    {"username": "system:apiserver", "groups": ["system:masters"]}
)
"""The testbed's own parts, which write without a request."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, as far as a rule may ask: the request's verb, the node the writer is bound to.

    `refusal` tells why the writer may not do something, empty when they may; `info` is the writer as policies see
    them.
    """

    verb: str = "update"
    node: str = ""
    refusal: Callable[[Act], str] = allow
    info: Mapping[str, object] = field(default_factory=lambda: _COMPONENT)


ANYONE = Writer()


@dataclass(frozen=True, slots=True)
class Context:
    """One write's surroundings; `now` is RFC 3339, `version` the API version that was written to."""

    now: str
    cel_check: CelCheck = no_cel_check
    gates: Mapping[str, bool] = field(default_factory=lambda: DEFAULT_GATES)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    writer: Writer = ANYONE
    version: str = "v1"

    def complaint(self, expression: str) -> str | None:
        """What the API server has against a selector, with the gates as they are."""
        gates = self.gates
        features = Features(gates["DRAConsumableCapacity"], gates["DRAListTypeAttributes"])
        return self.cel_check(expression, features)
