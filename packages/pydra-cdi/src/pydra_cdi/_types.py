"""The types of the model, walked field by field: what to say when a value is of the wrong one.

`_shape` checks specs built in Python with it, once it knows that something is wrong; `_coerce` takes the types and
the words for its own faults from here. Both load it only when they need it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from msgspec import inspect

from pydra_cdi._shape import describe
from pydra_cdi.errors import Fault
from pydra_cdi.model import Spec

_LONGEST_NAME = 40
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def faults_of(spec: Spec) -> list[Fault]:
    """Check a spec built in Python field by field, so that all faults are found, with their paths."""
    return list(_any(spec, type_of_spec(), ""))


@cache
def type_of_spec() -> inspect.Type:
    """Give the model as types to walk along."""
    return inspect.type_info(Spec)


def _any(value: object, kind: inspect.Type, at: str) -> Iterator[Fault]:
    match kind:
        case inspect.UnionType(types=types):
            yield from _any(value, types[0], at)
        case inspect.StructType():
            yield from _struct(value, kind, at)
        case inspect.CollectionType(item_type=item):
            yield from _sequence(value, item, at)
        case inspect.DictType():
            yield from _texts(value, at)
        case inspect.IntType(ge=low, le=high):
            yield from _integer(value, (low or 0, high or 0), at)
        case inspect.BoolType():
            if not isinstance(value, bool):
                yield wrong(value, "true or false", at)
        case _:
            yield from _text(value, at)


def _struct(value: object, kind: inspect.StructType, at: str) -> Iterator[Fault]:
    if not isinstance(value, kind.cls):
        yield wrong(value, f"an object ({kind.cls.__name__})", at)
        return
    for field in kind.fields:
        member = getattr(value, field.name)
        if member is not field.default:
            yield from _any(member, field.type, join(at, field.encode_name))


def _sequence(value: object, item: inspect.Type, at: str) -> Iterator[Fault]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        yield wrong(value, "a list", at)
        return
    for index, member in enumerate(value):
        yield from _any(member, item, f"{at}[{index}]")


def _texts(value: object, at: str) -> Iterator[Fault]:
    if not isinstance(value, Mapping):
        yield wrong(value, "an object of strings", at)
        return
    for key, member in value.items():
        path = f"{at}[{key!r}]"
        yield from _text(key, path)
        yield from _text(member, path)


def _text(value: object, at: str) -> Iterator[Fault]:
    if not isinstance(value, str):
        yield wrong(value, "a string", at)
    elif _HALF_CHARACTER.search(value):
        yield Fault(at, f"{value!r} holds half a character", "write the text as UTF-8")


def _integer(value: object, bounds: tuple[float, float], at: str) -> Iterator[Fault]:
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, int):
        yield wrong(value, "an integer", at)
    elif not low <= value <= high:
        yield Fault(at, f"{value:.6g} is out of range", f"use {low} to {high}")


def wrong(value: object, wanted: str, at: str) -> Fault:
    """Say that a value is of the wrong type, and which is the right one."""
    remedy = f"write {wanted} or take the entry out" if value is None else f"write {wanted}"
    return Fault(at, f"it is {describe(value)} where {wanted} belongs", remedy)


def unknown_field(name: str, known: Sequence[str], at: str) -> Fault:
    """Say that no field has this name, and which one may have been meant."""
    close = difflib.get_close_matches(name[:_LONGEST_NAME], known, 1)
    remedy = (
        f"did you mean {close[0]!r}?" if close else f"take it out; known are {', '.join(known)}"
    )
    return Fault(at, "no such field exists", remedy)


def join(at: str, name: str) -> str:
    """Lengthen a path by a field."""
    return f"{at}.{name}" if at else name
