"""CEL over whole Kubernetes objects: admission policies (KEP-3488), rules of custom resources (KEP-2876).

Unlike device selectors these see plain JSON values, so that nothing is known about types before a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from cel_expr_python import cel

from pydra_testbed.cel.errors import (
    CelCompileError,
    CelEvaluationError,
    compile_message,
    evaluation_message,
)

VARIABLES = ("object", "oldObject", "request", "variables", "namespaceObject")
_ERRORS = (RuntimeError, ValueError, LookupError, TypeError)


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that compiled."""

    text: str
    program: Any

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The result as a Python value; `values` gives each variable.

        Raises:
            CelEvaluationError: the evaluation failed, with Kubernetes' text.
        """
        try:
            result = self.program.eval(data=dict(values))
        except _ERRORS as problem:
            raise CelEvaluationError(evaluation_message(str(problem))) from problem
        if result.type() == cel.Type.ERROR:
            raise CelEvaluationError(evaluation_message(str(result.value())))
        return result.plain_value()  # what a variable holds is given to the next expression


@cache
def _environment(variables: tuple[str, ...]) -> Any:
    text = (resources.files(__package__) / "environment.yaml").read_text(encoding="utf-8")
    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(text.partition("\nfunctions:")[0]),
        variables=dict.fromkeys(variables, cel.Type.DYN),
    )


@lru_cache(maxsize=1024)
def compile_expression(text: str, variables: tuple[str, ...] = VARIABLES) -> Expression:
    """Compile an expression over some variables, those of admission policies unless others are named.

    Raises:
        CelCompileError: with the text the API server gives.
    """
    try:
        return Expression(text, _environment(variables).compile(text))
    except _ERRORS as problem:
        raise CelCompileError(compile_message(str(problem), text)) from problem
