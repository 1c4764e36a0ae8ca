"""Types of the fields of a spec built in Python, checked one by one so that all faults are found, with their paths.

`validation` asks it about values whose types nobody has checked; `_coerce` takes the words for its own faults
from here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import msgspec
from msgspec import inspect

from pydra_cdi.errors import Fault
from pydra_cdi.model import ENCODER, Spec

_LONGEST_NAME = 40
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def type_faults(spec: Spec) -> list[Fault]:
    """Find fields of a spec built in Python that hold values of the wrong type; quick when there are none."""
    try:
        same = msgspec.json.decode(ENCODER.encode(spec), type=Spec) == spec
    except (TypeError, ValueError, msgspec.ValidationError) as error:
        remedy = "use only strings, integers and parts of a spec"
        return _faults(spec) or [Fault("", str(error), remedy)]
    return [] if same else _faults(spec)


def _faults(spec: Spec) -> list[Fault]:
    return list(_any(spec, type_of_spec(), ""))


@cache
def type_of_spec() -> inspect.Type:
    """Give the model as types to walk along."""
    return inspect.type_info(Spec)


def _any(value: object, kind: inspect.Type, at: str) -> Iterator[Fault]:
    match kind:
        case inspect.UnionType(types=types):
            if value is not None:
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


def describe(value: object) -> str:
    """Name a value in the words of JSON."""
    match value:
        case None:
            return "null"
        case bool() | int() | float():
            return f"the {type(value).__name__} {value}"
        case str():
            return f"the string {value[:40]!r}"
        case dict():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return f"a Python {type(value).__name__}"


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
