"""One node judged: what refuses the pod itself, then every request against every device the node sees."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydra_testbed.explain.conjuncts import conjuncts
from pydra_testbed.explain.devices import Judge, selectors_of
from pydra_testbed.explain.holders import Register
from pydra_testbed.explain.mentions import spelled
from pydra_testbed.explain.model import DeviceReport, Kind, NodeReport, Obstacle, RequestReport
from pydra_testbed.explain.placement import node_obstacles
from pydra_testbed.explain.selectors import complaints
from pydra_testbed.explain.subject import Subject
from pydra_testbed.objects import KubeObject
from pydra_testbed.scheduler import AllocationError, AllocationInput, Reason, Refusal, allocate
from pydra_testbed.scheduler.cycle import Snapshot
from pydra_testbed.scheduler.model import ALL, Claim, Device, DeviceId, Request
from pydra_testbed.scheduler.parsing import parse_claim, parse_node
from pydra_testbed.scheduler.podclaims import is_allocated
from pydra_testbed.scheduler.pools import Pool

_FEW_STEPS = 20_000
_DRIVER = re.compile(r"""device\.driver == (["'])(?P<name>[^"'\\]+)\1""")


class _Trace:
    """Keeps why the search passed devices over, for those with nothing else against them."""

    def __init__(self) -> None:
        self.combined: dict[tuple[str, str, DeviceId], Refusal] = {}

    def refused(self, refusal: Refusal) -> None:
        if refusal.device is None:
            return
        key = (refusal.claim, refusal.request, refusal.device)
        # A constraint says more than that another request was faster.
        if key not in self.combined or refusal.reason is Reason.CONSTRAINT:
            self.combined[key] = refusal


def judge_node(subject: Subject, snapshot: Snapshot, body: KubeObject) -> NodeReport:
    """Everything that stands against the subject on one node."""
    node = parse_node(body)
    obstacles = list(node_obstacles(subject, snapshot, body, node))
    claims = tuple(parse_claim(m.claim) for m in subject.members if not is_allocated(m.claim))
    trace = _Trace()
    try:
        _search(snapshot, body, claims, trace)
    except AllocationError as problem:
        # Selectors that fail are told device by device; any other error is only here.
        if "selector #" not in str(problem):
            obstacles.append(Obstacle(Kind.UNDECIDED, str(problem)))
    pools = _pools(snapshot, body)
    judge = Judge(snapshot, Register(subject.world), node)
    requests = tuple(
        _request(judge, claim, request, pools, trace)
        for claim in claims
        for group in claim.groups
        for request in group.alternatives
    )
    return NodeReport(node.name, tuple(obstacles), requests)


def _pools(snapshot: Snapshot, body: KubeObject) -> tuple[Pool, ...]:
    try:
        return snapshot.inventory.pools_for(parse_node(body))
    except AllocationError:
        return ()


def _search(snapshot: Snapshot, body: KubeObject, claims: tuple[Claim, ...], trace: _Trace) -> None:
    node = parse_node(body)
    if claims:
        allocate(
            AllocationInput(
                node,
                claims,
                snapshot.classes,
                snapshot.inventory,
                snapshot.in_use,
                snapshot.verdicts,
                most_steps=_FEW_STEPS,
            ),
            trace,
        )


def _request(
    judge: Judge, claim: Claim, request: Request, pools: Sequence[Pool], trace: _Trace
) -> RequestReport:
    wanted_drivers = _drivers(judge.snapshot, claim, request)
    ours = [pool for pool in pools if not wanted_drivers or pool.id.driver in wanted_drivers]
    broken = list(complaints(selectors_of(judge.snapshot, claim, request)))
    devices = [
        _device(judge, claim, request, pool, device, trace)
        for pool in ours
        if pool.is_usable and not broken
        for device in pool.devices
    ]
    devices.sort(key=lambda report: len(report.obstacles))
    others = sum(len(pool.devices) for pool in pools if pool not in ours)
    fitting = sum(not report.obstacles for report in devices)
    wanted = 0 if request.mode == ALL else request.count
    obstacles = [
        *broken,
        *_pool_obstacles(judge, ours),
        *_no_slices(judge.node.name, ours, wanted_drivers),
    ]
    if devices and 0 < fitting < wanted:
        obstacles.append(Obstacle(Kind.TOO_FEW, f"{wanted} devices asked, {fitting} would do"))
    return RequestReport(
        claim.key, request.full_name, request.class_name, wanted, fitting,
        tuple(obstacles), tuple(devices), others,
    )  # fmt: skip


def _device(
    judge: Judge, claim: Claim, request: Request, pool: Pool, device: Device, trace: _Trace
) -> DeviceReport:
    found = judge.obstacles(claim, request, pool, device)
    refusal = trace.combined.get((claim.key, request.full_name, device.id))
    if not found and refusal is not None:
        found = tuple(_combined(claim, device, refusal))
    return DeviceReport(device.id.driver, device.id.pool, device.id.name, found)


def _combined(claim: Claim, device: Device, refusal: Refusal) -> Iterator[Obstacle]:
    """What speaks against a device only together with the pod's other devices."""
    if refusal.reason is Reason.CONSTRAINT:
        value = device.attribute(refusal.detail)
        index, what = next(
            (i, "differ" if c.is_distinct else "be equal")
            for i, c in enumerate(claim.constraints)
            if c.attribute == refusal.detail
        )
        name = refusal.detail.rpartition("/")[2]
        shown = "absent" if value is None else spelled(value)
        text = f"constraint {index}: {name} must {what} on all devices chosen; {name} is {shown}"
        yield Obstacle(Kind.CONSTRAINT, text)
    elif refusal.reason in {Reason.IN_USE, Reason.CAPACITY, Reason.COUNTER}:
        yield Obstacle(Kind.COMPETING, "would do, but the pod itself takes what it needs of it")


def _drivers(snapshot: Snapshot, claim: Claim, request: Request) -> set[str]:
    """The drivers that a selector names, empty when any driver's devices may do."""
    parts = (p for s in selectors_of(snapshot, claim, request) for p in conjuncts(s.expression))
    return {match["name"] for part in parts if (match := _DRIVER.fullmatch(part))}


def _pool_obstacles(judge: Judge, pools: Sequence[Pool]) -> Iterator[Obstacle]:
    for pool in pools:
        if pool.is_incomplete:
            there, expected = judge.register.slices(pool.id)
            text = f"pool {pool.id} is incomplete: {there} of its {expected} slices are published"
            remedy = "its driver is publishing, or was stopped while it did: look at its log"
            yield Obstacle(Kind.POOL_INCOMPLETE, text, remedy)
        elif pool.invalid:
            text = f"pool {pool.id} is invalid: {pool.invalid}"
            yield Obstacle(Kind.POOL_INVALID, text, "report it to the driver's author")


def _no_slices(node: str, pools: Sequence[Pool], drivers: set[str]) -> Iterator[Obstacle]:
    seen = {pool.id.driver for pool in pools}
    remedy = "is it running there, and registered? `pydra doctor` on the node checks that"
    for driver in sorted(drivers - seen):
        yield Obstacle(
            Kind.NO_SLICES, f"driver {driver} has published no slices for node {node}", remedy
        )
    if not drivers and not pools:
        text = f"no driver has published slices for node {node}"
        yield Obstacle(Kind.NO_SLICES, text, remedy)
