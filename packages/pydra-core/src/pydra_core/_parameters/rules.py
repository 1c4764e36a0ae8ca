"""The CEL that holds a value against a shape: one rule for each thing that can be wrong.

Rules are independent of each other, because an admission policy evaluates all of them: each is true wherever what
it is about is not there. `policy` puts them into a document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from pydra_core._parameters.checking import join, marked, unknown
from pydra_core._parameters.constraints import CEL_TYPES, constraints, guarded, literal
from pydra_core._parameters.shapes import (
    Choice,
    Either,
    Items,
    Record,
    Shape,
    Table,
    Unchecked,
    Variant,
    Variants,
    in_words,
    kinds,
)
from pydra_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        path: Where in the parameters; `[*]` is any entry.
        says: What is wrong when it does not hold.
        holds: CEL that is true or false of the variable `p`, the parameters.
        strangers: CEL of the list of unknown field names of `p`, where the rule is about those and their object is
            at a fixed place.
    """

    path: str
    says: str
    holds: str
    strangers: str = ""


_Guard: TypeAlias = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Place:
    """A value inside the parameters: its path, its CEL, and how to ask about it only where it is there."""

    path: str
    value: str
    guard: _Guard
    depth: int = 0

    def rule(self, says: str, expression: str, *, path: str = "", strangers: str = "") -> Rule:
        return Rule(path or self.path, says, self.guard(expression), strangers)

    def field(self, name: str) -> _Place:
        absent = f"type({self.value}) != map || !({literal(name)} in {self.value})"
        return _Place(
            join(self.path, name),
            f"{self.value}[{literal(name)}]",
            lambda e: self.guard(f"{absent} || ({e})"),
            self.depth,
        )

    def each(self, kind: str, value: str = "") -> _Place:
        """Any entry of a list, or of an object: its key `k`, or what `value` makes of that."""
        one = f"{'i' if kind == 'list' else 'k'}{self.depth}"
        return _Place(
            f"{self.path}[*]",
            value.format(k=one) if value else one,
            lambda e: self.guard(f"type({self.value}) != {kind} || {self.value}.all({one}, {e})"),
            self.depth + 1,
        )

    def where(self, condition: str) -> _Place:
        return _Place(
            self.path, self.value, lambda e: self.guard(f"!({condition}) || ({e})"), self.depth
        )


def rules(shape: Shape) -> tuple[Rule, ...]:
    """Every rule of a model's shape.

    Raises:
        ConfigError: the model has something that CEL cannot judge as msgspec does; names the field.
    """
    return tuple(_rules(shape, _Place("", "p", lambda expression: expression)))


def _rules(shape: Shape, at: _Place, *, typed: bool = False) -> Iterator[Rule]:
    if isinstance(shape, Unchecked):
        raise ConfigError(
            f"parameters: {at.path or 'the model'}: cannot be checked at admission: {shape.why}; describe it with"
            " str, int, float, bool, Literal, list, dict and Structs",
            key="config",
            source=at.path,
        )
    if isinstance(shape, Choice) and not typed:
        (limit,), (kind,) = constraints(shape), kinds(shape)
        yield at.rule(limit.says, f"type({at.value}) == {CEL_TYPES[kind]} && {limit.cel(at.value)}")
        return
    if not typed:
        fits = " || ".join(f"type({at.value}) == {CEL_TYPES[k]}" for k in sorted(kinds(shape)))
        yield at.rule(in_words(shape), fits)
    if isinstance(shape, Either):
        for option in shape.options:
            yield from _rules(option, at, typed=True)
        return
    for each in constraints(shape):
        yield at.rule(each.says, guarded(shape, at.value, each.cel(at.value)))
    yield from _inside(shape, at)


def _inside(shape: Shape, at: _Place) -> Iterator[Rule]:
    match shape:
        case Items(item):
            yield from _rules(item, at.each("list"))
        case Table(key, value):
            if any(True for _ in constraints(key)):
                yield from _rules(key, at.each("map"), typed=True)
            yield from _rules(value, at.each("map", f"{at.value}[{{k}}]"))
        case Record():
            yield from _record(shape, at)
        case Variants():
            yield from _variants(shape, at)


def _record(shape: Record, at: _Place) -> Iterator[Rule]:
    v = at.value
    known = f"[{', '.join(map(literal, shape.names))}]"
    strange = f"{v}.filter(k, !(k in {known}))" if shape.names else f"{v}.map(k, k)"
    fixed = "[*]" not in at.path
    yield at.rule(
        unknown(shape.names),
        f"type({v}) != map || "
        + (f"{v}.all(k, k in {known})" if shape.names else f"size({v}) == 0"),
        strangers=strange if fixed else "",
    )
    for field in shape.fields:
        if field.required:
            there = f"type({v}) != map || {literal(field.name)} in {v}"
            yield at.rule("is required", there, path=join(at.path, field.name))
        yield from _rules(field.shape, at.field(field.name))


def _variants(shape: Variants, at: _Place) -> Iterator[Rule]:
    any_of = " || ".join(f"({_is(variant, at.value)})" for variant in shape.variants)
    yield at.rule(
        marked(shape),
        f"type({at.value}) != map || {any_of}",
        path=join(at.path, shape.mark_names[-1]),
    )
    for variant in shape.variants:
        there = at.where(f"type({at.value}) == map && {_is(variant, at.value)}")
        yield from _record(variant.record, there)


def _is(variant: Variant, value: str) -> str:
    return " && ".join(
        f"{literal(name)} in {value} && {value}[{literal(name)}] == {literal(text)}"
        for name, text in variant.marks
    )
