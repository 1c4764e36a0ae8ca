"""The values a driver and the framework exchange: what is there, what is claimed, what was prepared.

All frozen, all plain data, so that every driver can be checked by looking at values. The names and limits
are those of `resource.k8s.io/v1`; the framework checks them before anything reaches the API server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydra_cdi import ContainerEdits


@dataclass(frozen=True, slots=True)
class Version:
    """An attribute of type version: strict semantic versioning 2.0.0, for example `550.54.15`."""

    text: str


AttributeValue: TypeAlias = bool | int | str | Version


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidRange:
    """What may be requested of a capacity: from `minimum` up to `maximum` in steps of `step` (quantities)."""

    minimum: str
    maximum: str = ""
    step: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPolicy:
    """How requests for a consumable capacity are rounded (KEP-5075).

    `default` is what a claim without a request consumes. Give `valid_range` or `valid_values`, not both.
    """

    default: str = ""
    valid_range: ValidRange | None = None
    valid_values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much of something a device has, as a Kubernetes quantity (`8`, `16Gi`)."""

    value: str
    policy: RequestPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """Why a device should not be used; `effect` is NoSchedule, NoExecute or None (KEP-5055)."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"


@dataclass(frozen=True, slots=True)
class CounterSet:
    """A budget several devices draw on (KEP-4815): counter name to quantity."""

    name: str
    counters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Consumption:
    """What one device takes from a counter set while it is allocated."""

    counter_set: str
    counters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NodeRequirement:
    """One requirement of nodes' labels: `operator` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str = "Exists"
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """Which nodes reach a pool, or one device of it; `Nodes()` is all of them.

    `labels` must be on a node with these values, `requirements` say more about labels, `name` is one node. A node
    must meet all that is given.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[NodeRequirement, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """One allocatable thing.

    `name` is a DNS label of at most 63 characters, stable over restarts. Attribute and capacity names are C
    identifiers of at most 32 characters, optionally behind `domain/`; without one they belong to the driver.
    A device with `shareable` may be allocated to several claims as long as its capacities last. Leave an
    attribute out rather than publish "unknown" or -1: selectors would match it by accident. `nodes` is only for
    devices of a pool that each node reaches a part of (`Pool`).
    """

    name: str
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    capacity: Mapping[str, str | int | Capacity] = field(default_factory=dict)
    shareable: bool = False
    taints: tuple[Taint, ...] = ()
    consumes: tuple[Consumption, ...] = ()
    nodes: Nodes | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """Devices that are published together: a scheduler uses all of them or, while they change, none.

    In an `Inventory`, `name` is a DNS subdomain of the driver's choice and `nodes` is left out: the API and claims
    know the pool of node-1 as `node-1/<name>`, so that the pools of two nodes are never taken for one.

    In `Driver.cluster_pools`, `name` is the pool's name in the API, one or more DNS subdomains joined by `/`, and
    `nodes` says who reaches it. Without `nodes`, each device says so itself (KEP-4815).

    The scheduler tries pools in the order of their names. Names of devices are unique over all pools that are returned
    together: a device that moves to another pool is known by its name, and is nowhere until the claim that holds it
    lets it go.
    """

    name: str
    devices: tuple[Device, ...] = ()
    counter_sets: tuple[CounterSet, ...] = ()
    nodes: Nodes | None = None


@dataclass(frozen=True, slots=True, init=False)
class Inventory:
    """All devices of this node, in order of preference: the scheduler tries them first to last.

    `devices` and `counter_sets` are the pool that is named like the node; `pools` are further ones of this node.
    """

    devices: tuple[Device, ...]
    counter_sets: tuple[CounterSet, ...]
    pools: tuple[Pool, ...]

    def __init__(
        self,
        *devices: Device,
        counter_sets: tuple[CounterSet, ...] = (),
        pools: tuple[Pool, ...] = (),
    ) -> None:
        object.__setattr__(self, "devices", devices)
        object.__setattr__(self, "counter_sets", counter_sets)
        object.__setattr__(self, "pools", pools)

    @property
    def all_devices(self) -> tuple[Device, ...]:
        """The devices of all pools."""
        return (*self.devices, *(d for pool in self.pools for d in pool.devices))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDevice:
    """The answer for one allocation: which device, and what to change in the containers that use it.

    Devices without edits are fine: nothing is injected for them. `state` is whatever `unprepare` needs later,
    as JSON values; it is kept on disk and survives a restart.
    """

    request: str
    pool: str
    device: str
    share_id: str = ""
    edits: ContainerEdits = field(default_factory=ContainerEdits)
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Toleration:
    """Taints a claim puts up with (KEP-5055): an empty key is every key, an empty effect every effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def covers(self, taint: Taint) -> bool:
        """Whether it puts up with this taint."""
        return (
            self.key in ("", taint.key)
            and self.effect in ("", taint.effect)
            and (self.operator == "Exists" or self.value == taint.value)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """One device chosen for one request of a claim.

    `request` is the base request name; `subrequest` the chosen alternative of a prioritized list. `share_id`
    names one use of a shareable device, `consumed` what that use may take (capacity name to quantity).
    `config` is the driver's config model, decoded, or None if neither class nor claim gave one.
    """

    request: str
    pool: str
    device: str
    subrequest: str = ""
    share_id: str = ""
    admin_access: bool = False
    consumed: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    config: Any = None

    def prepared(
        self, edits: ContainerEdits | None = None, state: Mapping[str, Any] | None = None
    ) -> PreparedDevice:
        """Answer this allocation with container edits, and what `unprepare` will need."""
        return PreparedDevice(
            request=self.request,
            pool=self.pool,
            device=self.device,
            share_id=self.share_id,
            edits=edits or ContainerEdits(),
            state=state or {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRef:
    """Points to one ResourceClaim as the kubelet names it.

    With a `resource`, no such object exists: a pod has the device ID `name` of that extended resource, and `namespace`
    is empty (`Driver.resources`).
    """

    uid: str
    namespace: str
    name: str
    resource: str = ""

    def __str__(self) -> str:
        return f"{self.resource or self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim as a driver sees it: fetched, UID-checked, allocated, only this driver's allocations."""

    ref: ClaimRef
    allocations: tuple[Allocation, ...]

    @property
    def uid(self) -> str:
        return self.ref.uid

    @property
    def namespace(self) -> str:
        return self.ref.namespace

    @property
    def name(self) -> str:
        return self.ref.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedClaim:
    """A claim that is prepared: what `unprepare` gets, also after a restart."""

    ref: ClaimRef
    devices: tuple[PreparedDevice, ...]
