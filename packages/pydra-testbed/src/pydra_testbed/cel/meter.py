"""Evaluation that counts what it costs, as Kubernetes' run-time limit does.

`program` plans the checked tree in these terms. It is the slow way to evaluate: selectors are evaluated by
the evaluator, and metered where it gives up or where the cost is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydra_testbed.cel import actualcosts
from pydra_testbed.cel.calculus import REFUSED, Problem
from pydra_testbed.cel.calls import call

BUDGET = 1_000_000
EXCEEDED = "operation cancelled: actual cost limit exceeded"


class BudgetExceededError(Exception):
    """The evaluation became too expensive."""


@dataclass(slots=True)
class Meter:
    """What an evaluation has cost so far.

    `depends_on_order`: a loop over a map ended early, and Go walks maps in an order that differs each time.
    """

    spent: int = 0
    depends_on_order: bool = False

    def spend(self, cost: int) -> None:
        """Count.

        Raises:
            BudgetExceededError: the limit for one evaluation is passed.
        """
        self.spent += cost
        if self.spent > BUDGET:
            raise BudgetExceededError


@dataclass(slots=True)
class Scope:
    """Variables; the accumulator of a loop is computed when it is first asked for."""

    values: dict[str, Any]
    outer: Scope | None = None
    delayed: dict[str, tuple[Plan, Scope]] = field(default_factory=dict)

    def look_up(self, name: str, meter: Meter) -> Any:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            if name in scope.delayed:
                plan, where = scope.delayed.pop(name)
                value = scope.values[name] = plan.run(where, meter)
                return value
            scope = scope.outer
        return Problem(f"undeclared reference to '{name}' (in container '')")


class Plan(Protocol):
    """One node of a program."""

    def run(self, scope: Scope, meter: Meter) -> Any:
        """The value, or a `Problem`."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is known when the program is made; costs nothing."""

    value: Any

    def run(self, scope: Scope, meter: Meter) -> Any:
        del scope, meter
        return self.value


@dataclass(frozen=True, slots=True)
class Call:
    """A function with all its operands, the receiver first."""

    function: str
    overload: str
    args: tuple[Plan, ...]
    is_member: bool

    def run(self, scope: Scope, meter: Meter) -> Any:
        values = []
        for arg in self.args:
            values.append(arg.run(scope, meter))
            if isinstance(values[-1], Problem) and len(self.args) > 2:  # noqa: PLR2004 -- as cel-go
                return values[-1]
        result = call(self.function, values, is_member=self.is_member)
        meter.spend(actualcosts.cost(self.function, self.overload, values, result))
        return result


@dataclass(frozen=True, slots=True)
class NotStrictlyFalse:
    """What loops ask before each round: an error is not a no."""

    arg: Plan

    def run(self, scope: Scope, meter: Meter) -> Any:
        value = self.arg.run(scope, meter)
        meter.spend(1)
        return value is not False


@dataclass(frozen=True, slots=True)
class Logic:
    """`&&` and `||`: `decisive` ends it, whatever the other side is."""

    decisive: bool
    terms: tuple[Plan, ...]

    def run(self, scope: Scope, meter: Meter) -> Any:
        failed = None
        for term in self.terms:
            value = term.run(scope, meter)
            if value is self.decisive:
                return value
            if not isinstance(value, bool) and failed is None:
                failed = value if isinstance(value, Problem) else REFUSED
        return not self.decisive if failed is None else failed


@dataclass(frozen=True, slots=True)
class OptionalOr:
    """`or` and `orValue` of an optional: free, and the other side only where there is no value."""

    optional: Plan
    otherwise: Plan
    unwraps: bool

    def run(self, scope: Scope, meter: Meter) -> Any:
        value = self.optional.run(scope, meter)
        if isinstance(value, Problem):
            return value
        if not hasattr(value, "present"):
            return REFUSED
        if value.present:
            return value.value if self.unwraps else value
        return self.otherwise.run(scope, meter)


@dataclass(frozen=True, slots=True)
class Made:
    """A list, map or message that is not all constants."""

    parts: tuple[Plan, ...]
    build: Callable[[list[Any]], Any]
    cost: int

    def run(self, scope: Scope, meter: Meter) -> Any:
        values = []
        for part in self.parts:
            values.append(part.run(scope, meter))
            if isinstance(values[-1], Problem):
                break
        meter.spend(self.cost)
        failed = values[-1] if values and isinstance(values[-1], Problem) else None
        return self.build(values) if failed is None else failed


@dataclass(frozen=True, slots=True)
class Membership:
    """`in` a list of constants: free."""

    arg: Plan
    items: list[Any]

    def run(self, scope: Scope, meter: Meter) -> Any:
        value = self.arg.run(scope, meter)
        if hasattr(value, "DESCRIPTOR"):
            name = value.DESCRIPTOR.name
            return Problem(f"internal error: runtime error: hash of unhashable type cel.{name}")
        return call("@in", [value, self.items], is_member=False)


@dataclass(frozen=True, slots=True)
class Loop:
    """A comprehension, with one variable or two."""

    variables: tuple[str, ...]
    accumulator: str
    over: Plan
    start: Plan
    condition: Plan
    step: Plan
    result: Plan

    def run(self, scope: Scope, meter: Meter) -> Any:
        items = self.over.run(scope, meter)
        if isinstance(items, Problem):
            return items
        if not isinstance(items, list | Mapping):
            return self._not_iterable(items)
        inner = Scope({}, scope, {self.accumulator: (self.start, scope)})
        rounds = self._rounds(items)
        for done, values in enumerate(rounds):
            inner.values |= dict(zip(self.variables, values, strict=True))
            if self.condition.run(inner, meter) is False:
                if isinstance(items, Mapping) and done < len(rounds):
                    meter.depends_on_order = True
                break
            value = self.step.run(inner, meter)
            inner.delayed.pop(self.accumulator, None)
            inner.values[self.accumulator] = value
        for name in self.variables:
            inner.values.pop(name, None)
        return self.result.run(inner, meter)

    def _rounds(self, items: Any) -> list[tuple[Any, ...]]:
        if len(self.variables) == 1:
            return [(item,) for item in items]
        return list(items.items() if isinstance(items, Mapping) else enumerate(items))

    def _not_iterable(self, items: Any) -> Problem:
        kind = {str: "String", int: "Int", bool: "Bool", float: "Double"}.get(type(items), "Err")
        if len(self.variables) > 1:
            return Problem(f"unsupported comprehension range type: types.{kind}")
        return Problem(f"got 'types.{kind}', expected iterable type")
