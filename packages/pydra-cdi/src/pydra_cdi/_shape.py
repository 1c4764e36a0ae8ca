"""Types of a spec's fields, checked field by field so that all faults are found, each with its path.

`codec` asks it when the fast decoder refuses a document (to say why, or to mend what a Go writer may
leave: `null` for "not given", `195.0` for 195); `validation` asks it about values built in Python,
whose types nobody has checked.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from pydra_cdi.errors import Fault
from pydra_cdi.model import ENCODER, Spec

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def reshape(value: object) -> tuple[Any, list[Fault]]:
    """Check a decoded document, or a `Spec`, against the model.

    Returns:
        Plain data that the fast decoder accepts if there are no faults, and the faults.
    """
    faults: list[Fault] = []
    return _any(value, _type_of_spec(), "", faults), faults


def type_faults(spec: Spec) -> list[Fault]:
    """Find fields of a spec built in Python that hold values of the wrong type; quick when there are none."""
    try:
        same = msgspec.json.decode(ENCODER.encode(spec), type=Spec) == spec
    except (TypeError, ValueError, msgspec.ValidationError) as error:
        remedy = "use only strings, integers and parts of a spec"
        return reshape(spec)[1] or [Fault("", str(error), remedy)]
    return [] if same else reshape(spec)[1]


@cache
def _type_of_spec() -> inspect.Type:
    return inspect.type_info(Spec)


def _any(value: object, kind: inspect.Type, at: str, faults: list[Fault]) -> Any:
    match kind:
        case inspect.UnionType(types=types):
            inner = next(t for t in types if not isinstance(t, inspect.NoneType))
            return None if value is None else _any(value, inner, at, faults)
        case inspect.StructType():
            return _struct(value, kind, at, faults)
        case inspect.CollectionType(item_type=item):
            return _sequence(value, item, at, faults)
        case _:
            return _leaf(value, kind, at, faults)


def _leaf(value: object, kind: inspect.Type, at: str, faults: list[Fault]) -> Any:
    match kind:
        case inspect.DictType():
            return _texts(value, at, faults)
        case inspect.IntType(ge=low, le=high):
            return _integer(value, (low or 0, high or 0), at, faults)
        case inspect.BoolType():
            return value if isinstance(value, bool) else _wrong(value, "true or false", at, faults)
        case _:
            return _text(value, at, faults)


def _struct(value: object, kind: inspect.StructType, at: str, faults: list[Fault]) -> Any:
    members = _members(value, kind.cls)
    if members is None:
        return _wrong(value, f"an object ({kind.cls.__name__})", at, faults)
    known = {field.encode_name: field for field in kind.fields}
    strange = [name for name in members if name not in known]
    faults.extend(_unknown(name, known, _join(at, str(name))) for name in strange)
    # In a file, null means "not given"; in a value built in Python it is a mistake.
    null_is_absent = isinstance(value, dict)
    result = {}
    for name, field in known.items():
        if name in members and not (null_is_absent and members[name] is None):
            result[name] = _any(members[name], field.type, _join(at, name), faults)
        elif field.required:
            remedy = f"every {kind.cls.__name__} needs it: add it"
            faults.append(Fault(_join(at, name), "it is missing", remedy))
    return result


def _members(value: object, cls: type) -> Mapping[Any, object] | None:
    if isinstance(value, dict):
        return value
    if not isinstance(value, msgspec.Struct) or not isinstance(value, cls):
        return None
    pairs = ((field, getattr(value, field.name)) for field in msgspec.structs.fields(value))
    return {field.encode_name: member for field, member in pairs if member is not field.default}


def _sequence(value: object, item: inspect.Type, at: str, faults: list[Fault]) -> Any:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return _wrong(value, "a list", at, faults)
    return [_any(member, item, f"{at}[{index}]", faults) for index, member in enumerate(value)]


def _texts(value: object, at: str, faults: list[Fault]) -> Any:
    if not isinstance(value, Mapping):
        return _wrong(value, "an object of strings", at, faults)
    result = {}
    for key, member in value.items():
        path = f"{at}[{key!r}]"
        result[_text(key, path, faults)] = "" if member is None else _text(member, path, faults)
    return result


def _text(value: object, at: str, faults: list[Fault]) -> Any:
    if not isinstance(value, str):
        return _wrong(value, "a string", at, faults)
    if _HALF_CHARACTER.search(value):
        faults.append(Fault(at, f"{value!r} holds half a character", "write the text as UTF-8"))
    return value


def _integer(value: object, bounds: tuple[float, float], at: str, faults: list[Fault]) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return _wrong(value, "an integer", at, faults)
    low, high = bounds
    if not low <= value <= high:
        faults.append(Fault(at, f"{value} is out of range", f"use {low} to {high}"))
    return value


def _wrong(value: object, wanted: str, at: str, faults: list[Fault]) -> Any:
    remedy = f"write {wanted}"
    if wanted == "a string" and isinstance(value, (bool, int, float)):
        remedy = "put it in quotes"
    elif value is None:
        remedy = f"write {wanted} or take the entry out"
    faults.append(Fault(at, f"it is {describe(value)} where {wanted} belongs", remedy))
    return None


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


def _unknown(name: object, known: Mapping[str, object], at: str) -> Fault:
    folded = {key.casefold(): key for key in known}
    close = difflib.get_close_matches(str(name).casefold(), folded, 1)
    remedy = (
        f"did you mean {folded[close[0]]!r}?"
        if close
        else f"take it out; known are {', '.join(known)}"
    )
    return Fault(at, "no such field exists", remedy)


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name
