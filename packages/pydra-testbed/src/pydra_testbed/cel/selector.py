"""CEL selectors for devices: compile once, ask many devices (KEP-4381, `spec.selectors[].cel.expression`).

The scheduler asks compiled selectors about devices; the API server compiles to validate. Both get
Kubernetes' verdicts: parsing, checking and evaluation are Google's, the device rules are added around them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydra_testbed.cel import checks, errors
from pydra_testbed.cel.calculus import Problem
from pydra_testbed.cel.calls import type_name
from pydra_testbed.cel.device import DeviceView
from pydra_testbed.cel.environment import checking_environment, running_environment
from pydra_testbed.cel.estimate import worst_cost
from pydra_testbed.cel.features import DEFAULT, Features
from pydra_testbed.cel.meter import EXCEEDED, BudgetExceededError, Meter, Plan, Scope
from pydra_testbed.cel.parentheses import without_idle_parentheses
from pydra_testbed.cel.program import plan
from pydra_testbed.cel.rewrite import apply_kubernetes_rules
from pydra_testbed.cel.typetext import type_text
from pydra_testbed.cel.wire import Tree

# `device.attributes` is a variable of its own, which has() cannot test; padding keeps error columns.
_HAS_MAP = re.compile(r"\bhas\(device\.(attributes|capacity)\)")
_RUNTIME_ERRORS = (RuntimeError, ValueError, LookupError, TypeError)


@dataclass(frozen=True, slots=True)
class Measured:
    """A metered evaluation: the result or why there is none, and what it cost in CEL's units.

    `depends_on_order`: the cost follows from the order of a map, which is another each time in Kubernetes.
    """

    result: bool | None
    error: str
    cost: int | None
    depends_on_order: bool = False


@dataclass(frozen=True, slots=True)
class CompiledSelector:
    """A selector that passed every check; `gated` says what a new object could not use of it.

    `output_type` is the static type of the result, `checked` the tree as it was before Kubernetes' rules.
    """

    expression: str
    program: Any
    gated: str = ""
    output_type: str = "bool"
    checked: bytes = b""

    @property
    def worst_cost(self) -> int:
        """The estimate that the API server limits to `MAX_COST`; 2^64 - 1 without bound."""
        return _worst_cost(self.checked)

    def try_match(self, device: DeviceView) -> Measured:
        """`matches` without raising or counting."""
        try:
            return Measured(self.matches(device), "", None)
        except errors.CelEvaluationError as problem:
            return Measured(None, str(problem), None)

    def matches(self, device: DeviceView) -> bool:
        """Whether the device is selected.

        Raises:
            CelEvaluationError: a run-time error, a device that cannot be converted, or a result that is
                not a bool. Kubernetes gives up on the whole pod then.
        """
        if device.error:
            raise errors.CelEvaluationError(device.error)
        try:
            value = self.program.eval(device.activation).value()
        except _RUNTIME_ERRORS:
            value = None
        if value is True or value is False:
            return bool(value)
        return self._matches_at_length(device)

    def _matches_at_length(self, device: DeviceView) -> bool:
        """The evaluator failed, which it does in words of its own and after fewer rounds than Kubernetes."""
        measured = self.measure(device)
        if measured.result is None:
            raise errors.CelEvaluationError(measured.error)
        return measured.result

    def measure(self, device: DeviceView) -> Measured:
        """Evaluate and count the cost; some hundred times slower than `matches`."""
        if device.error:
            return Measured(None, device.error, None)
        meter = Meter()
        try:
            value = _plan(self.checked).run(Scope({"device": device.variable}), meter)
        except BudgetExceededError:
            return Measured(None, EXCEEDED, meter.spent)
        if isinstance(value, bool):
            return Measured(value, "", meter.spent, meter.depends_on_order)
        text = value.text if isinstance(value, Problem) else errors.not_a_bool(type_name(value))
        return Measured(None, text, meter.spent, meter.depends_on_order)


@lru_cache(maxsize=256)
def _worst_cost(checked: bytes) -> int:
    return worst_cost(Tree(checked))


@lru_cache(maxsize=256)
def _plan(checked: bytes) -> Plan:
    return plan(Tree(checked))


@lru_cache(maxsize=4096)
def compile_selector(expression: str, features: Features = DEFAULT) -> CompiledSelector:
    """Compile and check a selector that is stored, as the scheduler does.

    Raises:
        CelCompileError: with the text the API server gives.
    """
    checks.check_source(expression)
    source = _HAS_MAP.sub(lambda match: "has(device.driver)".ljust(len(match[0])), expression)
    source = without_idle_parentheses(source)
    try:
        checked = checking_environment(features).compile(source)
    except _RUNTIME_ERRORS as problem:
        raise errors.CelCompileError(errors.compile_message(str(problem), expression)) from problem
    serialized = checked.serialize()
    tree = Tree(serialized)
    checks.check(tree, expression, features)
    gated = checks.gated_use(tree, expression, features)
    output_type = type_text(tree.type_of(tree.root))
    apply_kubernetes_rules(tree, features)
    program = running_environment().deserialize(tree.serialize())
    return CompiledSelector(expression, program, gated, output_type, serialized)


def complaint(expression: str, features: Features = DEFAULT) -> str | None:
    """What the API server has against a selector in a new object; None when it is fine.

    New objects may not use what is behind a gate that is off, which stored ones may have kept. What an
    expression may cost is another matter: `CompiledSelector.worst_cost`.
    """
    try:
        selector = compile_selector(expression, features)
    except errors.CelCompileError as problem:
        text = str(problem)
        return text if features.list_attributes else errors.without_includes(text)
    return selector.gated or None
