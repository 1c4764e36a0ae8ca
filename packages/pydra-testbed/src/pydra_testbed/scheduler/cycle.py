"""One scheduling decision for one pod, from a frozen view of the cluster; nothing is written here.

Steps and texts are the scheduler's: gate, check classes, filter nodes, allocate on each, score, choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydra_testbed.objects import KubeObject, key_of
from pydra_testbed.scheduler import binding, extended, filters, scoring
from pydra_testbed.scheduler.allocate import TIMED_OUT, allocate
from pydra_testbed.scheduler.dice import Dice, first_of
from pydra_testbed.scheduler.features import DEFAULT, Features
from pydra_testbed.scheduler.model import AllocationError, DeviceClass, InUse, Node
from pydra_testbed.scheduler.nodes import selector_matches
from pydra_testbed.scheduler.parsing import parse_claim, parse_node
from pydra_testbed.scheduler.podclaims import (
    ClaimNotReadyError,
    claims_of,
    is_allocated,
    is_reserved_for,
    reservations,
)
from pydra_testbed.scheduler.pools import Inventory
from pydra_testbed.scheduler.special import (
    SpecialClaim,
    classes_by_resource,
    left_behind,
    special_claim,
)
from pydra_testbed.scheduler.task import Allocated, AllocationInput, ClaimAllocation
from pydra_testbed.scheduler.verdicts import Verdicts

UNSCHEDULABLE = "Unschedulable"
SCHEDULER_ERROR = "SchedulerError"
NOT_AVAILABLE = "resourceclaim not available on the node"
STALE = "cannot schedule extended resource claim"
_MAX_CONSUMERS = 256
_STEPS = 100_000
_STEPS_AFTER_TIMEOUT = 5_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The cluster as one decision sees it; claims by namespace/name, nodes in order of preference at a tie."""

    nodes: Sequence[KubeObject]
    claims: Mapping[str, KubeObject]
    classes: Mapping[str, DeviceClass]
    inventory: Inventory
    in_use: InUse
    verdicts: Verdicts
    pods: Sequence[KubeObject] = ()
    features: Features = DEFAULT
    now: datetime = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bind:
    """Run the pod on `node`, after giving claims these allocations and reserving all of `claims` for it.

    `special` is the claim to create first for extended resources; its allocation is the last one then.
    """

    node: str
    allocations: tuple[ClaimAllocation, ...]
    claims: tuple[str, ...]
    special: SpecialClaim | None = None


@dataclass(frozen=True, slots=True)
class Gated:
    """The pod waits for a claim; nothing is written."""

    why: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The pod cannot run now; `deallocate` names a claim to be allocated anew, `delete` one to be made anew."""

    reason: str
    message: str
    deallocate: str = ""
    delete: str = ""


Decision = Bind | Gated | Failed


def decide(pod: KubeObject, snapshot: Snapshot, dice: Dice = first_of) -> Decision:
    """Decide about a pod that has no node yet."""
    try:
        claims = claims_of(pod, snapshot.claims)
    except ClaimNotReadyError as problem:
        return Gated(str(problem))
    try:
        return _Cycle(pod, claims, snapshot, dice).run()
    except AllocationError as problem:
        return Failed(SCHEDULER_ERROR, f'running "DynamicResources" filter plugin: {problem}')


@dataclass(frozen=True, slots=True)
class _Feasible:
    node: Node
    allocations: tuple[ClaimAllocation, ...]
    special: SpecialClaim | None = None


class _Cycle:
    """The work of one decision."""

    def __init__(
        self, pod: KubeObject, claims: tuple[KubeObject, ...], snapshot: Snapshot, dice: Dice
    ) -> None:
        self._pod = pod
        self._dice = dice
        self._claims = claims
        self._snapshot = snapshot
        self._open = tuple(parse_claim(claim) for claim in claims if not is_allocated(claim))
        self._wanted = extended.wanted(pod)
        self._held = extended.in_use(snapshot.pods) if self._wanted else {}
        self._backed = self._backed_by_devices()
        self._left_behind = left_behind(pod, snapshot.claims) if self._backed else ""
        self._steps = _STEPS
        self._full = 0
        self._unavailable: set[str] = set()
        self._refusals: list[str] = []

    def run(self) -> Decision:
        if problem := self._before_nodes():
            return Failed(UNSCHEDULABLE, self._message(problem, "no new claims to deallocate"))
        feasible: list[_Feasible] = []
        enough = scoring.enough_nodes(len(self._snapshot.nodes))
        for body in self._snapshot.nodes:
            node = parse_node(body)
            found = self._try_node(body, node)
            if isinstance(found, list):
                self._refusals += found
                continue
            feasible.append(found)
            if len(feasible) >= enough:
                break
        if not feasible:
            return self._nowhere()
        best = scoring.best(self._pod, [(each.node, each.allocations) for each in feasible])
        name = self._dice(self._pod, [feasible[index].node.name for index in best])
        chosen = next(each for each in feasible if each.node.name == name)
        claims = tuple(key_of(claim) for claim in self._claims)
        return Bind(name, chosen.allocations, claims, chosen.special)

    def _backed_by_devices(self) -> dict[str, str]:
        """The wanted resources that a class serves, with the class."""
        if not self._wanted or not self._snapshot.features.extended_resources:
            return {}
        classes = classes_by_resource(self._snapshot.classes)
        return {name: classes[name] for name in self._wanted if name in classes}

    def _before_nodes(self) -> str:
        for claim in self._claims:
            full = len(reservations(claim)) >= _MAX_CONSUMERS
            if full and not is_reserved_for(claim, self._pod):
                return "resourceclaim in use"
        for request in (
            r for claim in self._open for group in claim.groups for r in group.alternatives
        ):
            if request.class_name not in self._snapshot.classes:
                return (
                    f"request {request.full_name}: device class {request.class_name} does not exist"
                )
        return ""

    def _try_node(self, body: KubeObject, node: Node) -> _Feasible | list[str]:
        """The allocations on the node, or why there are none."""
        if why := filters.refusal(self._pod, body, node):
            return [why]
        backed = {
            resource: name
            for resource, name in self._backed.items()
            if not extended.is_advertised(resource, body)
        }
        plain = {name: amount for name, amount in self._wanted.items() if name not in backed}
        if short := extended.missing(plain, body, self._held.get(node.name, {})):
            self._full += not extended.missing(plain, body, {})
            return [f"Insufficient {name}" for name in short]
        if self._left_behind:
            return [STALE]
        unavailable = [
            key_of(claim) for claim in self._claims if not self._is_available(claim, node)
        ]
        if unavailable:
            self._unavailable.update(unavailable)
            return [NOT_AVAILABLE]
        special = special_claim(self._pod, backed) if backed else None
        found = self._allocate(node, special)
        return found if isinstance(found, list) else _Feasible(node, found, special)

    def _allocate(
        self, node: Node, special: SpecialClaim | None
    ) -> tuple[ClaimAllocation, ...] | list[str]:
        claims = self._open if special is None else (*self._open, parse_claim(special.body))
        if not claims:
            return ()
        snapshot = self._snapshot
        result = allocate(
            AllocationInput(
                node,
                claims,
                snapshot.classes,
                snapshot.inventory,
                snapshot.in_use,
                snapshot.verdicts,
                most_steps=self._steps,
            )
        )
        if isinstance(result, Allocated):
            return result.claims
        if result.reason == TIMED_OUT:  # Many such nodes must not stop the whole testbed.
            self._steps = _STEPS_AFTER_TIMEOUT
        return [result.reason]

    def _is_available(self, claim: KubeObject, node: Node) -> bool:
        allocation = (claim.get("status") or {}).get("allocation") or {}
        selector = allocation.get("nodeSelector")
        if selector is not None and not selector_matches(selector, node):
            return False
        snapshot = self._snapshot
        waits = snapshot.features.binding_conditions and is_allocated(claim)
        return not (waits and binding.is_in_vain(claim, snapshot.now))

    def _nowhere(self) -> Failed:
        counts = {why: self._refusals.count(why) for why in self._refusals}
        summary = ", ".join(sorted(f"{count} {why}" for why, count in counts.items()))
        for claim in self._claims:
            if key_of(claim) in self._unavailable and self._is_ours_alone(claim):
                message = self._message(summary, "deallocation of ResourceClaim completed")
                return Failed(UNSCHEDULABLE, message, key_of(claim))
        if self._left_behind:
            message = self._message(summary, "deletion of ResourceClaim completed")
            return Failed(UNSCHEDULABLE, message, delete=self._left_behind)
        has_claims = bool(self._claims or self._backed)
        afterwards = "still not schedulable" if has_claims else "no new claims to deallocate"
        return Failed(UNSCHEDULABLE, self._message(summary, afterwards))

    def _is_ours_alone(self, claim: KubeObject) -> bool:
        consumers = reservations(claim)
        return not consumers or (len(consumers) == 1 and is_reserved_for(claim, self._pod))

    def _message(self, summary: str, afterwards: str) -> str:
        total = len(self._snapshot.nodes)
        if total == 0:
            return "no nodes available to schedule pods"
        available = f"0/{total} nodes are available"
        victims = {
            "No preemption victims found for incoming pod": self._full,
            "Preemption is not helpful for scheduling": total - self._full,
        }
        preemption = ", ".join(f"{count} {text}" for text, count in victims.items() if count)
        return f"{available}: {summary}. {afterwards}, preemption: {available}: {preemption}."
