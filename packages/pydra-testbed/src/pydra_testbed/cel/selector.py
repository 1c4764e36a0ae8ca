"""CEL selectors for devices: compile once, ask many devices (KEP-4381, `spec.selectors[].cel.expression`).

The scheduler asks compiled selectors about devices; the API server compiles to validate. Both get
Kubernetes' verdicts: parsing, checking and evaluation are Google's, the device rules are added around them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from pydra_testbed.cel import checks, errors
from pydra_testbed.cel.device import DeviceView
from pydra_testbed.cel.environment import checking_environment, running_environment
from pydra_testbed.cel.rewrite import apply_kubernetes_rules
from pydra_testbed.cel.wire import Tree

# `device.attributes` is a variable of its own, which has() cannot test; padding keeps error columns.
_HAS_MAP = re.compile(r"\bhas\(device\.(attributes|capacity)\)")
_RUNTIME_ERRORS = (RuntimeError, ValueError, LookupError)


@dataclass(frozen=True, slots=True)
class CompiledSelector:
    """A selector that passed every check; `gated` says what a new object could not use of it."""

    expression: str
    program: Any
    gated: str = ""

    def matches(self, device: DeviceView) -> bool:
        """Whether the device is selected.

        Raises:
            CelEvaluationError: a run-time error, a device that cannot be converted, or a result that is
                not a bool. Kubernetes gives up on the whole pod then.
        """
        if device.error:
            raise errors.CelEvaluationError(device.error)
        try:
            result = self.program.eval(device.activation)
        except _RUNTIME_ERRORS as problem:
            raise errors.CelEvaluationError(errors.evaluation_message(str(problem))) from problem
        value = result.value()
        if value is True or value is False:
            return bool(value)
        raise errors.CelEvaluationError(_failure(result))


@lru_cache(maxsize=4096)
def compile_selector(expression: str) -> CompiledSelector:
    """Compile and check a selector that is stored, as the scheduler does.

    Raises:
        CelCompileError: with the text the API server gives.
    """
    checks.check_source(expression)
    source = _HAS_MAP.sub(lambda match: "has(device.driver)".ljust(len(match[0])), expression)
    try:
        checked = checking_environment().compile(source)
    except _RUNTIME_ERRORS as problem:
        raise errors.CelCompileError(errors.compile_message(str(problem), expression)) from problem
    tree = Tree(checked.serialize())
    checks.check(tree, expression)
    gated = checks.gated_use(tree, expression)
    apply_kubernetes_rules(tree)
    program = running_environment().deserialize(tree.serialize())
    return CompiledSelector(expression, program, gated)


def complaint(expression: str) -> str | None:
    """What the API server has against a selector in a new object; None when it is fine.

    New objects may not use what is behind a gate that is off, which stored ones may have kept. The cost of an
    expression is not estimated: nothing is "too complex" here.
    """
    try:
        selector = compile_selector(expression)
    except errors.CelCompileError as problem:
        return str(problem)
    return selector.gated or None


def _failure(result: Any) -> str:
    kind = result.type()
    if kind == cel.Type.ERROR:
        return errors.evaluation_message(str(result.value()))
    name = str(kind.name()).lower()
    return (
        f"CEL result of type {name} could not be converted to bool: "
        f"unsupported type conversion from '{name}' to bool"
    )
