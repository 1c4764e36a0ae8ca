"""API objects to the allocator's values; the only place that knows where a field stands in a body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydra_core.quantity import Quantity, parse
from pydra_testbed.objects import KubeObject
from pydra_testbed.scheduler.model import (
    EXACT_COUNT,
    AllocationError,
    Capacity,
    Claim,
    Constraint,
    Counters,
    Device,
    DeviceClass,
    DeviceId,
    InUse,
    Node,
    Placement,
    PoolId,
    Request,
    RequestGroup,
    RequestPolicy,
    Slice,
)

Body = Mapping[str, Any]


def parse_node(node: KubeObject) -> Node:
    """A Node as selectors see it."""
    return Node(node["metadata"]["name"], node["metadata"].get("labels") or {})


def parse_class(device_class: KubeObject) -> DeviceClass:
    """A DeviceClass."""
    spec = device_class.get("spec") or {}
    return DeviceClass(
        device_class["metadata"]["name"],
        _selectors(spec),
        tuple(spec.get("config") or ()),
        spec.get("extendedResourceName") or "",
        device_class["metadata"].get("creationTimestamp") or "",
    )


def parse_slice(resource_slice: KubeObject) -> Slice:
    """A ResourceSlice; quantities in it have been validated by the API server."""
    spec = resource_slice["spec"]
    pool = PoolId(spec["driver"], spec["pool"]["name"])
    shared = spec.get("sharedCounters")
    placement = None if spec.get("perDeviceNodeSelection") else _placement(spec)
    return Slice(
        name=resource_slice["metadata"]["name"],
        pool=pool,
        generation=spec["pool"].get("generation", 0),
        slices_in_pool=spec["pool"]["resourceSliceCount"],
        placement=placement or Placement(),
        devices=tuple(_device(pool, placement, body) for body in spec.get("devices") or ()),
        shared_counters={c["name"]: _counters(c) for c in shared} if shared else None,
    )


def _device(pool: PoolId, placement: Placement | None, body: Body) -> Device:
    return Device(
        id=DeviceId(pool.driver, pool.pool, body["name"]),
        body=body,
        capacity={name: _capacity(value) for name, value in (body.get("capacity") or {}).items()},
        consumes=tuple(
            (use["counterSet"], _counters(use)) for use in body.get("consumesCounters") or ()
        ),
        taints=tuple(body.get("taints") or ()),
        is_shareable=bool(body.get("allowMultipleAllocations")),
        binds_to_node=bool(body.get("bindsToNode")),
        binding_conditions=tuple(body.get("bindingConditions") or ()),
        binding_failure_conditions=tuple(body.get("bindingFailureConditions") or ()),
        placement=_placement(body) if placement is None else placement,
        selects_nodes=placement is None,
    )


def _placement(body: Body) -> Placement:
    return Placement(
        body.get("nodeName") or "", bool(body.get("allNodes")), body.get("nodeSelector")
    )


def _counters(body: Body) -> Counters:
    return {name: parse(counter["value"]) for name, counter in (body.get("counters") or {}).items()}


def _capacity(body: Body) -> Capacity:
    policy = body.get("requestPolicy")
    if policy is None:
        return Capacity(parse(body["value"]))
    valid_range = policy.get("validRange") or {}
    return Capacity(
        parse(body["value"]),
        RequestPolicy(
            default=_quantity(policy.get("default")),
            valid_values=tuple(map(parse, policy.get("validValues") or ())),
            minimum=_quantity(valid_range.get("min")),
            maximum=_quantity(valid_range.get("max")),
            step=_quantity(valid_range.get("step")),
        ),
    )


def _quantity(text: str | None) -> Quantity | None:
    return None if text is None else parse(text)


def _selectors(body: Body) -> tuple[str, ...]:
    return tuple(selector["cel"]["expression"] for selector in body.get("selectors") or ())


def parse_claim(claim: KubeObject) -> Claim:
    """Read what a claim asks for.

    Raises:
        AllocationError: a constraint of a kind this scheduler does not know.
    """
    metadata, devices = claim["metadata"], claim["spec"].get("devices") or {}
    key = f"{metadata.get('namespace', '')}/{metadata['name']}"
    return Claim(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        groups=tuple(_group(request) for request in devices.get("requests") or ()),
        constraints=tuple(
            _constraint(key, index, body)
            for index, body in enumerate(devices.get("constraints") or ())
        ),
        config=tuple(devices.get("config") or ()),
    )


def _group(body: Body) -> RequestGroup:
    name = body["name"]
    if body.get("firstAvailable"):
        return RequestGroup(
            name, tuple(_request(sub["name"], name, sub) for sub in body["firstAvailable"])
        )
    return RequestGroup(name, (_request(name, "", body["exactly"]),))


def _request(name: str, parent: str, body: Body) -> Request:
    capacity = (body.get("capacity") or {}).get("requests") or {}
    return Request(
        name=name,
        class_name=body["deviceClassName"],
        parent=parent,
        mode=body.get("allocationMode") or EXACT_COUNT,
        count=body.get("count") or 1,
        is_admin=bool(body.get("adminAccess")),
        selectors=_selectors(body),
        tolerations=tuple(body.get("tolerations") or ()),
        capacity={key: parse(value) for key, value in capacity.items()},
    )


def _constraint(claim: str, index: int, body: Body) -> Constraint:
    requests = frozenset(body.get("requests") or ())
    if body.get("matchAttribute"):
        return Constraint(body["matchAttribute"], is_distinct=False, requests=requests)
    if body.get("distinctAttribute"):
        return Constraint(body["distinctAttribute"], is_distinct=True, requests=requests)
    raise AllocationError(
        f"claim {claim}, constraint #{index}: empty constraint (unsupported constraint type?)"
    )


def parse_in_use(claims: Iterable[KubeObject]) -> InUse:
    """Add up what allocated claims hold; results with admin access hold nothing."""
    return add_up(parse_holding(claim) for claim in claims)


def parse_holding(claim: KubeObject) -> InUse:
    """What one claim holds."""
    devices: set[DeviceId] = set()
    consumed: dict[DeviceId, dict[str, Quantity]] = {}
    for result in allocation_results(claim):
        if result.get("adminAccess"):
            continue
        device = DeviceId(result["driver"], result["pool"], result["device"])
        if result.get("shareID"):
            amounts = result.get("consumedCapacity") or {}
            _add(consumed, device, {name: parse(amount) for name, amount in amounts.items()})
        else:
            devices.add(device)
    return InUse(frozenset(devices), consumed)


def add_up(holdings: Iterable[InUse]) -> InUse:
    """The sum of what several claims hold."""
    devices: set[DeviceId] = set()
    consumed: dict[DeviceId, dict[str, Quantity]] = {}
    for holding in holdings:
        devices |= holding.devices
        for device, amounts in holding.consumed.items():
            _add(consumed, device, amounts)
    return InUse(frozenset(devices), consumed)


def _add(
    consumed: dict[DeviceId, dict[str, Quantity]], device: DeviceId, amounts: Mapping[str, Quantity]
) -> None:
    shares = consumed.setdefault(device, {})
    for name, amount in amounts.items():
        shares[name] = shares[name] + amount if name in shares else amount


def allocation_results(claim: KubeObject) -> tuple[Body, ...]:
    """`status.allocation.devices.results` of a claim, empty while it is not allocated."""
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return tuple((allocation.get("devices") or {}).get("results") or ())
