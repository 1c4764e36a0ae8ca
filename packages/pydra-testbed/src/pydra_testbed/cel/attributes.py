"""Lookups while an expression is metered: a variable or value, and the steps into it that follow.

cel-go plans `device.attributes["x"].name` as one attribute with three qualifiers, and counts one for each step
taken and one for the whole. A step that is optional and finds nothing is free; so is a presence test's whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydra_testbed.cel.calculus import NONE, REFUSED, Optional, Problem, Uint, is_number, look_up
from pydra_testbed.cel.calculus import Optional as Found
from pydra_testbed.cel.meter import Meter, Plan, Scope


class Domains(dict[str, Any]):
    """`device.attributes` and `device.capacity`: a domain that is missing is an empty map."""


class Base(Protocol):
    """Where a lookup starts."""

    def start(self, scope: Scope, meter: Meter) -> Any: ...


@dataclass(frozen=True, slots=True)
class Variable:
    """A name."""

    name: str

    def start(self, scope: Scope, meter: Meter) -> Any:
        return scope.look_up(self.name, meter)


@dataclass(frozen=True, slots=True)
class Computed:
    """The value of another expression."""

    plan: Plan

    def start(self, scope: Scope, meter: Meter) -> Any:
        return self.plan.run(scope, meter)


@dataclass(slots=True)
class Step:
    """One qualifier: a constant, or a lookup of its own whose value is the key."""

    key: Any = None
    lookup: Attribute | None = None
    is_optional: bool = False
    is_test: bool = False

    def take(self, value: Any, scope: Scope, meter: Meter, *, if_present: bool) -> Found | Problem:
        """One step inside; `Found` without a value where an optional step finds nothing."""
        key = self.key
        if self.lookup is not None:
            key = self.lookup.resolve(scope, meter)
            if isinstance(key, Problem):
                meter.spend(1)
                return key
        found = _inside(value, key)
        if found is None and (if_present or self.is_test):
            meter.spend(1 if self.is_test else 0)
            return Found(False) if self.is_test else NONE
        meter.spend(1)
        if self.is_test:
            return Found(True)
        return Problem(_missing(value, key)) if found is None else found


@dataclass(slots=True)
class Attribute:
    """A lookup: a plan like any other, but one that further steps can be added to."""

    base: Base
    steps: list[Step] = field(default_factory=list)
    is_test: bool = False

    def add(self, step: Step) -> None:
        self.steps.append(step)
        self.is_test = self.is_test or step.is_test

    def run(self, scope: Scope, meter: Meter) -> Any:
        value = self.resolve(scope, meter)
        meter.spend(0 if self.is_test else 1)
        return value

    def resolve(self, scope: Scope, meter: Meter) -> Any:
        """The value without the cost of the whole."""
        value = self.base.start(scope, meter)
        if isinstance(value, Problem) or not self.steps:
            return value
        is_optional = isinstance(value, Optional)
        if is_optional:
            if not value.present:
                return value
            value = value.value
        for step in self.steps:
            is_optional = is_optional or step.is_optional
            found = step.take(value, scope, meter, if_present=is_optional)
            if isinstance(found, Problem):
                return found
            if not found.present:
                return NONE
            value = found.value
        return Optional(value) if is_optional and not isinstance(value, Optional) else value


@dataclass(slots=True)
class Choice:
    """`a ? b : c`: costs its condition and the branch taken, of a lookup only the steps."""

    condition: Plan
    branches: tuple[Attribute, Attribute]

    def add(self, step: Step) -> None:
        for branch in self.branches:
            branch.add(step)

    def run(self, scope: Scope, meter: Meter) -> Any:
        return self.resolve(scope, meter)

    def resolve(self, scope: Scope, meter: Meter) -> Any:
        chosen = self.condition.run(scope, meter)
        if isinstance(chosen, bool):
            return self.branches[not chosen].resolve(scope, meter)
        return chosen if isinstance(chosen, Problem) else REFUSED


def _inside(value: Any, key: Any) -> Found | None:
    if isinstance(value, Domains):
        return Found(value.get(key, {}))
    if isinstance(value, Mapping):
        return look_up(value, key)
    if isinstance(value, list) and is_number(key) and key == int(key):
        return Found(value[int(key)]) if 0 <= key < len(value) else None
    return None


def _missing(value: Any, key: Any) -> str:
    if isinstance(value, list) and is_number(key):
        return f"index out of bounds: {int(key)}"
    if isinstance(value, list):
        return f"unsupported index type '{type(key).__name__}' in list"
    text = {True: "true", False: "false"}.get(key, key) if isinstance(key, bool) else key
    return f"no such key: {int(text) if isinstance(text, Uint) else text}"
