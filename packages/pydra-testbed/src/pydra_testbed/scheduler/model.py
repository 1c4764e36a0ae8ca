"""What the allocator reasons about, as frozen values made once from API objects (resource.k8s.io/v1).

Bodies are dicts at the API; here each field that decides an allocation is named and parsed, quantities
are exact, and defaults of the API server are assumed to be filled in. A `Device` is compared by identity:
one object per published device and slice version, so that verdicts about it can be kept with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydra_core.quantity import Quantity, from_int

MAX_RESULTS = 32
ZERO = from_int(0)
EXACT_COUNT = "ExactCount"
ALL = "All"


class AllocationError(Exception):
    """Allocation cannot be decided; the pod fails with SchedulerError and this text, on whichever node."""


class DeviceId(NamedTuple):
    """Names one device in the cluster."""

    driver: str
    pool: str
    name: str

    def __str__(self) -> str:
        return f"{self.driver}/{self.pool}/{self.name}"


@dataclass(frozen=True, slots=True)
class Node:
    """A node as selectors see it."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a slice or a device can be used; at most one field is set (KEP-4381, KEP-4815)."""

    node_name: str = ""
    all_nodes: bool = False
    selector: Mapping[str, Any] | None = None

    @property
    def is_given(self) -> bool:
        return bool(self.node_name) or self.all_nodes or self.selector is not None


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """How requests for a capacity are rounded and limited (KEP-5075)."""

    default: Quantity | None = None
    valid_values: tuple[Quantity, ...] = ()
    minimum: Quantity | None = None
    maximum: Quantity | None = None
    step: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """One capacity of a device."""

    value: Quantity
    policy: RequestPolicy | None = None


Counters = Mapping[str, Quantity]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Device:
    """One published device; `placement` is its own where its slice leaves that to devices, else the slice's."""

    id: DeviceId
    body: Mapping[str, Any]
    capacity: Mapping[str, Capacity]
    consumes: tuple[tuple[str, Counters], ...] = ()
    taints: tuple[Mapping[str, Any], ...] = ()
    is_shareable: bool = False
    binds_to_node: bool = False
    binding_conditions: tuple[str, ...] = ()
    binding_failure_conditions: tuple[str, ...] = ()
    placement: Placement = Placement()
    selects_nodes: bool = False

    def attribute(self, qualified_name: str) -> Mapping[str, Any] | None:
        """Look up a `domain/name`; a published name without domain belongs to the driver's."""
        attributes: Mapping[str, Any] = self.body.get("attributes") or {}
        if qualified_name in attributes:
            found: Mapping[str, Any] = attributes[qualified_name]
            return found
        domain, _, name = qualified_name.partition("/")
        return attributes.get(name) if domain == self.id.driver else None


class PoolId(NamedTuple):
    """Names one pool in the cluster."""

    driver: str
    pool: str

    def __str__(self) -> str:
        return f"{self.driver}/{self.pool}"


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """One ResourceSlice."""

    name: str
    pool: PoolId
    generation: int
    slices_in_pool: int
    placement: Placement
    devices: tuple[Device, ...]
    shared_counters: Mapping[str, Counters] | None = None


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """One DeviceClass."""

    name: str
    selectors: tuple[str, ...] = ()
    config: tuple[Mapping[str, Any], ...] = ()
    extended_resource: str = ""
    created: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One exact request, or one alternative of a prioritized list (then `parent` names the list)."""

    name: str
    class_name: str
    parent: str = ""
    mode: str = EXACT_COUNT
    count: int = 1
    is_admin: bool = False
    selectors: tuple[str, ...] = ()
    tolerations: tuple[Mapping[str, Any], ...] = ()
    capacity: Mapping[str, Quantity] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """`request` or `request/subrequest`, as results carry it."""
        return f"{self.parent}/{self.name}" if self.parent else self.name

    @property
    def base_name(self) -> str:
        """The name constraints and config use for a request with all its alternatives."""
        return self.parent or self.name


@dataclass(frozen=True, slots=True)
class RequestGroup:
    """A request of a claim: one alternative, or several of which the first that fits is taken."""

    name: str
    alternatives: tuple[Request, ...]

    @property
    def is_prioritized(self) -> bool:
        return bool(self.alternatives[0].parent)


@dataclass(frozen=True, slots=True)
class Constraint:
    """All devices of some requests share, or all differ in, the value of one attribute."""

    attribute: str
    is_distinct: bool
    requests: frozenset[str]

    def applies_to(self, request: Request) -> bool:
        names = self.requests
        return not names or request.base_name in names or request.full_name in names


@dataclass(frozen=True, slots=True)
class Claim:
    """One ResourceClaim that is to be allocated."""

    namespace: str
    name: str
    groups: tuple[RequestGroup, ...]
    constraints: tuple[Constraint, ...] = ()
    config: tuple[Mapping[str, Any], ...] = ()

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class InUse:
    """What other claims hold: whole devices, and per shareable device what its shares consume together."""

    devices: frozenset[DeviceId] = frozenset()
    consumed: Mapping[DeviceId, Mapping[str, Quantity]] = field(default_factory=dict)

    def holds(self, device: DeviceId) -> bool:
        """Whether anything of the device is in use, so that its counters are taken."""
        return device in self.devices or device in self.consumed
