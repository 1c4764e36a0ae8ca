"""Each limit a shape sets, once: what Python asks, what CEL asks, and what both say.

`checking` and `rules` are the callers; side by side, the two cannot drift apart unnoticed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydra_core._parameters import patterns
from pydra_core._parameters.shapes import (
    Choice,
    Items,
    Kind,
    Real,
    Shape,
    Table,
    Text,
    Whole,
    kinds,
    one_of,
)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A limit on values of the right JSON type; `cel` gives its expression for the expression of a value."""

    says: str
    holds: Callable[[Any], bool]
    cel: Callable[[str], str]


def constraints(shape: Shape) -> Iterator[Constraint]:
    """The limits of a shape itself, not of what is inside it."""
    match shape:
        case Text():
            yield from _text(shape)
        case Whole():
            yield from _whole(shape)
        case Real():
            yield from _real(shape)
        case Choice(values):
            allowed = f"[{', '.join(map(literal, values))}]"
            yield Constraint(one_of(values), lambda v: v in values, lambda v: f"{v} in {allowed}")
        case Items(_, least, most):
            yield from _sizes(least, most, "entries")
        case Table(_, _, least, most):
            yield from _sizes(least, most, "fields")


def guarded(shape: Shape, value: str, expression: str) -> str:
    """The expression, asked only of values of the shape's JSON types."""
    other = " && ".join(f"type({value}) != {CEL_TYPES[k]}" for k in sorted(kinds(shape)))
    return f"({other}) || {expression}" if " && " in other else f"{other} || {expression}"


CEL_TYPES: dict[Kind, str] = {
    "string": "string",
    "int": "int",
    "number": "double",
    "bool": "bool",
    "list": "list",
    "map": "map",
    "null": "null_type",
}


def literal(value: str | float) -> str:
    """A value in CEL."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _text(shape: Text) -> Iterator[Constraint]:
    yield from _sizes(shape.min_length, shape.max_length, "characters")
    if (pattern := shape.pattern) is not None:
        yield Constraint(
            f"must match {pattern}",
            lambda v: patterns.found(pattern, v),
            lambda v: f"{v}.matches({literal(pattern)})",
        )


def _sizes(least: int | None, most: int | None, what: str) -> Iterator[Constraint]:
    if least:
        yield Constraint(
            f"must have at least {least} {what}",
            lambda v: len(v) >= least,
            lambda v: f"size({v}) >= {least}",
        )
    if most is not None:
        yield Constraint(
            f"must have at most {most} {what}",
            lambda v: len(v) <= most,
            lambda v: f"size({v}) <= {most}",
        )


def _whole(shape: Whole) -> Iterator[Constraint]:
    minimum, maximum, step = shape.minimum, shape.maximum, shape.multiple_of
    if minimum is not None:
        yield Constraint(
            f"must be at least {minimum}", lambda v: v >= minimum, lambda v: f"{v} >= {minimum}"
        )
    if maximum is not None:
        yield Constraint(
            f"must be at most {maximum}", lambda v: v <= maximum, lambda v: f"{v} <= {maximum}"
        )
    if step is not None:
        yield Constraint(
            f"must be a multiple of {step}", lambda v: v % step == 0, lambda v: f"{v} % {step} == 0"
        )


def _real(shape: Real) -> Iterator[Constraint]:
    for bound, sign, words, holds in (
        (shape.gt, ">", "greater than", float.__gt__),
        (shape.ge, ">=", "at least", float.__ge__),
        (shape.lt, "<", "less than", float.__lt__),
        (shape.le, "<=", "at most", float.__le__),
    ):
        if bound is not None:
            yield _compared(float(bound), sign, f"must be {words} {bound:g}", holds)


def _compared(
    bound: float, sign: str, says: str, holds: Callable[[float, float], bool]
) -> Constraint:
    return Constraint(
        says,
        lambda v: holds(float(v), bound),
        lambda v: f"double({v}) {sign} {bound!r}",
    )
