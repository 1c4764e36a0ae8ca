"""Holds decoded parameters against a shape: every fault, with the path to it.

Texts name fields and what is allowed, never the values users wrote: those may be secret, and messages go to logs
and events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydra_core._parameters.constraints import constraints
from pydra_core._parameters.shapes import (
    Either,
    Items,
    Record,
    Shape,
    Table,
    Variants,
    in_words,
    kind_of,
    kinds,
)

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at `path`, which is empty for the whole."""

    path: str
    says: str


def faults(shape: Shape, value: Any, path: str = "") -> Iterator[Fault]:
    """Everything that is wrong with a value, in the order of the model."""
    kind = kind_of(value)
    if kind not in kinds(shape):
        yield Fault(path, in_words(shape))
        return
    if isinstance(shape, Either):
        fitting = next(option for option in shape.options if kind in kinds(option))
        yield from faults(fitting, value, path)
        return
    yield from (Fault(path, c.says) for c in constraints(shape) if not c.holds(value))
    yield from _inside(shape, value, path)


def _inside(shape: Shape, value: Any, path: str) -> Iterator[Fault]:
    match shape:
        case Items(item):
            for index, each in enumerate(value):
                yield from faults(item, each, f"{path}[{index}]")
        case Table(key, inner):
            for name, each in value.items():
                where = f"{path}[{shown(name)}]"
                yield from faults(key, name, where)
                yield from faults(inner, each, where)
        case Record():
            yield from _record(shape, value, path)
        case Variants():
            yield from _variants(shape, value, path)


def _record(shape: Record, value: dict[str, Any], path: str) -> Iterator[Fault]:
    for name in value:
        if name not in shape.names:
            yield Fault(join(path, shown(name)), unknown(shape.names, name))
    for field in shape.fields:
        if field.name in value:
            yield from faults(field.shape, value[field.name], join(path, field.name))
        elif field.required:
            yield Fault(join(path, field.name), "is required")


def _variants(shape: Variants, value: dict[str, Any], path: str) -> Iterator[Fault]:
    for variant in shape.variants:
        if all(value.get(name) == text for name, text in variant.marks):
            yield from _record(variant.record, value, path)
            return
    yield Fault(join(path, shape.mark_names[-1]), marked(shape))


def marked(shape: Variants) -> str:
    """What is told of parameters that are none of the kinds."""
    *before, last = shape.mark_names
    kinds_ = []
    for variant in shape.variants:
        values = dict(variant.marks)
        rest = ", ".join(f"{name} {values[name]}" for name in before)
        kinds_.append(values[last] + (f" with {rest}" if rest else ""))
    return f"must be {' or '.join(kinds_)}"


def unknown(known: Sequence[str], name: str = "") -> str:
    """What is told of a field the model does not have, with the nearest one it has."""
    from difflib import get_close_matches  # noqa: PLC0415 (only typos need it, a driver does not hold it)

    if name and (near := get_close_matches(name[:_SHOWN], known, n=1)):
        return f"unknown field; did you mean {near[0]}?"
    return (
        f"unknown field; known are {', '.join(known)}" if known else "unknown field; none is known"
    )


def join(path: str, name: str) -> str:
    """The path of a field."""
    return f"{path}.{name}" if path else name


def shown(name: str) -> str:
    """A name that a user wrote: without it a typo could not be found, but it may be of any length."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return plain if len(plain) <= _SHOWN else plain[:_SHOWN] + "..."
