"""The way from a question to an `Explanation`: the scheduler's decision first, then the reasons behind it."""

from __future__ import annotations

from dataclasses import replace

from pydra_testbed.explain.changes import cheapest
from pydra_testbed.explain.checks import before_nodes, waiting_for
from pydra_testbed.explain.model import (
    Choice,
    ClaimReport,
    Explanation,
    NodeReport,
    Verdict,
)
from pydra_testbed.explain.nodes import judge_node
from pydra_testbed.explain.placement import allocated_devices, home
from pydra_testbed.explain.subject import Member, Subject, Target, find, users
from pydra_testbed.explain.world import World
from pydra_testbed.objects import KubeObject, key_of, namespace_of
from pydra_testbed.scheduler.allocate import TIMED_OUT
from pydra_testbed.scheduler.cycle import Bind, Failed, Gated, decide
from pydra_testbed.scheduler.podclaims import is_allocated, reservations

_GIVEN_UP = (
    "the search was given up: a combination that was not tried may do; selectors that leave fewer "
    "devices to choose from shorten it"
)


def explain(target: Target, world: World) -> Explanation:
    """Say how it stands with a pod or claim.

    Raises:
        UnknownObjectError: there is no such pod or claim.
    """
    subject = find(target, world)
    base = Explanation(
        str(target),
        Verdict.UNSATISFIABLE,
        "",
        _scheduler_said(subject.pod),
        tuple(_claim(member) for member in subject.members),
        notes=_notes(subject),
    )
    if _is_settled(subject):
        return replace(base, verdict=Verdict.ALLOCATED, summary=_settled(subject), scheduler="")
    if obstacles := tuple(before_nodes(subject)):
        summary = "cannot be satisfied, whichever node"
        return replace(base, summary=summary, obstacles=obstacles)
    if waits := tuple(waiting_for(subject)):
        return replace(base, verdict=Verdict.WAITING, summary=f"waiting: {'; '.join(waits)}")
    return _decided(base, subject)


def _decided(base: Explanation, subject: Subject) -> Explanation:
    snapshot = subject.world.snapshot()
    match decide(subject.pod, snapshot):
        case Gated(why):
            return replace(base, verdict=Verdict.WAITING, summary=f"waiting: {why}")
        case Bind() as bind:
            verb = "allocated on" if bind.allocations else "scheduled to"
            summary = f"can be {verb} node {bind.node}"
            return replace(
                base, verdict=Verdict.SATISFIABLE, summary=summary, choices=_choices(bind)
            )
        case Failed(deallocate=key) if key:
            note = (
                f"the scheduler takes back what claim {key} has, which no node of the pod can use"
            )
            base = replace(base, notes=(*base.notes, note))
            return _decided(base, _without_allocation(subject, key))
        case Failed() as failed:
            reports = [judge_node(subject, snapshot, body) for body in snapshot.nodes]
            reports.sort(key=_distance)
            if TIMED_OUT in failed.message:
                base = replace(base, notes=(*base.notes, _GIVEN_UP))
            return replace(
                base,
                summary=_unsatisfied(reports),
                scheduler=base.scheduler or failed.message,
                nodes=tuple(reports),
                change=cheapest(subject, snapshot, reports),
            )


def _without_allocation(subject: Subject, key: str) -> Subject:
    """The subject as it is after the scheduler gave up the allocation of one of its claims."""
    claim = {k: v for k, v in subject.world.claims[key].items() if k != "status"}
    members = tuple(
        replace(member, claim=claim) if key_of(member.claim) == key else member
        for member in subject.members
    )
    world = replace(subject.world, claims={**subject.world.claims, key: claim})
    return replace(subject, members=members, world=world)


def _is_settled(subject: Subject) -> bool:
    if subject.target.kind == "claim":
        return is_allocated(subject.members[0].claim)
    phase = (subject.pod.get("status") or {}).get("phase")
    return bool(subject.pod["spec"].get("nodeName")) or phase in {"Succeeded", "Failed"}


def _settled(subject: Subject) -> str:
    if subject.target.kind == "claim":
        claim = subject.members[0].claim
        where = home(claim)
        return "is allocated" + (f" on {where}" if where else "")
    node = subject.pod["spec"].get("nodeName")
    phase = (subject.pod.get("status") or {}).get("phase") or "Pending"
    return f"is scheduled to node {node} ({phase})" if node else f"has ended ({phase})"


def _claim(member: Member) -> ClaimReport:
    claim = member.claim
    names = (f"{namespace_of(claim)}/{c.get('name')}" for c in reservations(claim))
    return ClaimReport(
        key_of(claim), member.template, member.is_made, home(claim),
        allocated_devices(claim), tuple(names),
    )  # fmt: skip


def _notes(subject: Subject) -> tuple[str, ...]:
    notes = list(subject.world.notes)
    if subject.target.kind == "claim" and not is_allocated(subject.members[0].claim):
        pods = list(users(subject.members[0].claim, subject.world))
        if pods:
            notes.append(f"used by pod {', '.join(pods)}: explain the pod for all that it needs")
        else:
            notes.append("no pod uses the claim: it is allocated once one does")
    return tuple(notes)


def _scheduler_said(pod: KubeObject) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message", ""))
    return ""


def _choices(bind: Bind) -> tuple[Choice, ...]:
    return tuple(
        Choice(
            each.claim.key,
            result["request"],
            f"{result['driver']}/{result['pool']}/{result['device']}",
            bind.node,
        )
        for each in bind.allocations
        for result in each.allocation["devices"]["results"]
    )


def _unsatisfied(reports: list[NodeReport]) -> str:
    if not reports:
        return "cannot be satisfied: there are no nodes"
    which = f"node {reports[0].node}" if len(reports) == 1 else f"none of {len(reports)} nodes"
    verb = "does not have" if len(reports) == 1 else "has"
    if all(report.obstacles for report in reports):
        return f"cannot be satisfied: {which} {'refuses it' if len(reports) == 1 else 'takes it'}"
    return f"cannot be satisfied: {which} {verb} what it asks for"


def _distance(report: NodeReport) -> tuple[int, int, str]:
    """Near misses first: nodes that take the pod, then by how much speaks against their nearest devices."""
    missing = 0
    for request in report.requests:
        wanted = request.wanted or 1
        nearest = [len(device.obstacles) for device in request.devices[:wanted]]
        missing += sum(nearest) + 100 * (wanted - len(nearest))
    return len(report.obstacles), missing, report.node
