"""The cheapest single change that would help: candidates from the obstacles, each tried on the scheduler itself.

Nothing is suggested that does not lead to an allocation when the decision is made again with it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pydra_testbed.explain.conjuncts import conjuncts, shorten
from pydra_testbed.explain.mentions import mentions
from pydra_testbed.explain.model import (
    Amount,
    Holders,
    Kind,
    NodeReport,
    Obstacle,
    RequestReport,
    SelectorPart,
    TaintPart,
)
from pydra_testbed.explain.subject import Subject
from pydra_testbed.objects import KubeObject
from pydra_testbed.scheduler.cycle import Bind, Snapshot, decide
from pydra_testbed.scheduler.parsing import parse_in_use
from pydra_testbed.scheduler.podclaims import is_allocated

_MOST_TRIES = 24


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of the claim asked for (or the end of another pod), cheaper when `cost` is lower."""

    cost: int
    text: str
    claims: dict[str, KubeObject]


def cheapest(subject: Subject, snapshot: Snapshot, reports: Sequence[NodeReport]) -> str:
    """The change in words, with what it would lead to; empty if none helps or several are as good."""
    found: dict[str, _Change] = {}
    for change in _candidates(subject, reports):
        found.setdefault(change.text, change)
    helping: list[tuple[_Change, Bind]] = []
    for change in sorted(found.values(), key=lambda each: each.cost)[:_MOST_TRIES]:
        if helping and change.cost > helping[0][0].cost:
            break
        outcome = _try(subject, snapshot, change)
        if outcome is not None:
            helping.append((change, outcome))
    if len(helping) != 1:
        return ""
    change, outcome = helping[0]
    devices = ", ".join(
        result["device"]
        for each in outcome.allocations
        for result in each.allocation["devices"]["results"]
    )
    return f"{change.text}: then it gets {devices or 'its claims'} on node {outcome.node}"


def _try(subject: Subject, snapshot: Snapshot, change: _Change) -> Bind | None:
    claims = {**subject.world.claims, **change.claims}
    in_use = parse_in_use(claim for claim in claims.values() if is_allocated(claim))
    outcome = decide(subject.pod, replace(snapshot, claims=claims, in_use=in_use))
    return outcome if isinstance(outcome, Bind) else None


def _candidates(subject: Subject, reports: Sequence[NodeReport]) -> Iterator[_Change]:
    for report in reports:
        for request in report.requests:
            claim = subject.world.claims.get(request.claim)
            if claim is None:
                continue
            editor = _Editor(claim, request)
            if 0 < request.fitting < request.wanted:
                yield editor.count()
            for device in request.devices:
                for obstacle in device.obstacles:
                    yield from _against(subject, editor, obstacle)


def _against(subject: Subject, editor: _Editor, obstacle: Obstacle) -> Iterator[_Change]:
    match obstacle.cause:
        case SelectorPart(owner="claim") as part if obstacle.kind is Kind.SELECTOR_FALSE:
            yield editor.without(part)
        case SelectorPart(owner="claim") as part if part.values:
            yield from editor.guarded(part)
        case TaintPart() as taint:
            yield editor.tolerating(taint)
        case Amount() as amount if obstacle.kind is Kind.CAPACITY and not amount.left.startswith(
            ("0", "-")
        ):
            yield editor.asking(amount)
        case Holders() as holders if len(holders.claims) == 1:
            yield _freed(subject, holders)


def _freed(subject: Subject, holders: Holders) -> _Change:
    name = holders.claims[0]
    claim = copy.deepcopy(subject.world.claims[name])
    claim.pop("status", None)
    who = f"pod {holders.pods[0]} ends" if len(holders.pods) == 1 else f"claim {name} is free again"
    return _Change(6, f"wait until {who}", {name: claim})


@dataclass(frozen=True, slots=True)
class _Editor:
    """Makes changed copies of a claim at one request."""

    claim: KubeObject
    report: RequestReport

    def count(self) -> _Change:
        def edit(request: KubeObject) -> None:
            request["count"] = self.report.fitting

        return self._edited(
            4, f"ask for {self.report.fitting} instead of {self.report.wanted}", edit
        )

    def without(self, part: SelectorPart) -> _Change:
        def edit(request: KubeObject) -> None:
            cel = request["selectors"][part.index]["cel"]
            kept = [p for p in conjuncts(cel["expression"]) if p != part.expression]
            cel["expression"] = " && ".join(kept) or "true"

        return self._edited(5, f"drop {shorten(part.expression)} from selector {part.index}", edit)

    def guarded(self, part: SelectorPart) -> Iterator[_Change]:
        missing = [name for name, value in part.values if value == "absent"]
        if not missing:
            return
        guard = " && ".join(_has(part.expression, name) for name in missing)

        def edit(request: KubeObject) -> None:
            cel = request["selectors"][part.index]["cel"]
            cel["expression"] = f"{guard} && ({cel['expression']})"

        yield self._edited(1, f"put {guard} && before selector {part.index}", edit)

    def tolerating(self, taint: TaintPart) -> _Change:
        toleration = {"key": taint.key, "operator": "Exists", "effect": taint.effect}

        def edit(request: KubeObject) -> None:
            request["tolerations"] = [*(request.get("tolerations") or ()), toleration]

        return self._edited(2, f"tolerate taint {taint.key}", edit)

    def asking(self, amount: Amount) -> _Change:
        def edit(request: KubeObject) -> None:
            capacity = request.setdefault("capacity", {}).setdefault("requests", {})
            capacity[amount.name] = amount.left

        name = amount.name.rpartition("/")[2]
        return self._edited(3, f"ask for {amount.left} {name} instead of {amount.asked}", edit)

    def _edited(self, cost: int, text: str, edit: Callable[[KubeObject], None]) -> _Change:
        claim = copy.deepcopy(self.claim)
        name, _, sub = self.report.request.partition("/")
        for request in claim["spec"]["devices"]["requests"]:
            if request["name"] == name:
                parts = request.get("firstAvailable") or ()
                body = next((p for p in parts if p["name"] == sub), request.get("exactly"))
                if body is not None:
                    edit(body)
        where = f"in claim {self.report.claim}, request {self.report.request}"
        return _Change(cost, f"{where}, {text}", {self.report.claim: claim})


def _has(expression: str, name: str) -> str:
    return next(f"has({m.path})" for m in mentions(expression) if m.name == name)
