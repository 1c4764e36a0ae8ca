"""Reading a body by its field table: types, nulls, quantities, times, unknown fields.

Called by the request core before defaulting and validation. The result is a fresh object that keeps the
difference between empty and absent; `_emit` drops empties when it is stored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pydra_core.quantity import QuantityError, parse
from pydra_testbed.api._received import Sent
from pydra_testbed.api._shapes.types import (
    Field,
    ListOf,
    MapOf,
    Scalar,
    Shape,
    Special,
    Struct,
    go_type,
)
from pydra_testbed.clock import rfc3339
from pydra_testbed.objects import KubeObject

_INT_LIMITS = {Scalar.INT32: 2**31, Scalar.INT64: 2**63}
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")
_OWN_TYPE = re.compile(
    r"\bv1\.(?!ObjectMeta|OwnerReference|Condition|Time|MicroTime|NodeSelector|ResourceName)"
)
"""Go types of the object's own group; the others keep their version."""


class DecodeError(Exception):
    """The body does not fit the kind's types; the text is Go's."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A body read by its table, and what is wrong without being an error: unknown fields (dropped), doubles."""

    object: KubeObject
    problems: tuple[str, ...]


_At: TypeAlias = tuple[Any, str, str]
"""Where the reader stands: the way there so far, the enclosing struct, the last step.

A step is a field name, `[index]`, or `.key` of a map; texts are made of it only when something is wrong.
"""

_TOP: _At = ((), "", "")


def _exact(at: _At) -> str:
    """`spec.devices[0].name`."""
    parts: list[str] = []
    while at[0]:
        parts.append(at[2] if at[2].startswith(("[", ".")) else f".{at[2]}")
        at = at[0]
    return "".join(reversed(parts)).removeprefix(".")


def _plain_path(at: _At) -> str:
    """`spec.devices.name`, as Go prints it."""
    parts: list[str] = []
    while at[0]:
        if not at[2].startswith(("[", ".")):
            parts.append(at[2])
        at = at[0]
    return ".".join(reversed(parts))


def decode(body: Any, shape: Struct, version: str = "v1") -> Decoded:
    """Read `body` by `shape`; `version` is the API version whose Go types the texts name.

    Raises:
        DecodeError: a value has another type than its field.
    """
    reader = _Reader()
    try:
        obj = reader.struct(body, shape, _TOP)
    except DecodeError as error:
        text = str(error)
        for number, written in body.numbers.items() if isinstance(body, Sent) else ():
            text = text.replace(f"number {number!r} ", f"number {written} ")
        raise DecodeError(_OWN_TYPE.sub(f"{version}.", text)) from None
    return Decoded(obj, tuple(reader.problems))


@dataclass(slots=True)
class _Reader:
    """One reading; collects problems on the way."""

    problems: list[str] = field(default_factory=list)

    def value(self, value: Any, shape: Shape, at: _At) -> Any:
        match shape:
            case Scalar():
                return _scalar(value, shape, at)
            case Special():
                return _special(value, shape)
            case ListOf():
                return self.items(value, shape, at)
            case MapOf():
                return self.mapping(value, shape, at)
            case Struct():
                return self.struct(value, shape, at)

    def struct(self, value: Any, shape: Struct, at: _At) -> KubeObject:
        if not isinstance(value, dict):
            raise _mismatch(value, shape, at)
        result: KubeObject = {}
        for name, raw in value.items():
            entry = shape.fields.get(name)
            if entry is None:
                self.beyond(result, shape, at, name, raw)
            elif _plain(raw, entry.shape):
                result[name] = raw
            elif raw is not None or entry.shape is Special.RAW:
                result[name] = self.value(raw, entry.shape, (at, shape.go, name))
        if isinstance(value, Sent):
            self.problems += [
                f'duplicate field "{_exact((at, shape.go, name))}"' for name in value.doubles
            ]
        return result

    def beyond(self, result: KubeObject, shape: Struct, at: _At, name: str, raw: Any) -> None:
        if shape.open:
            result[name] = raw
        else:
            self.problems.append(f'unknown field "{_exact((at, shape.go, name))}"')

    def items(self, value: Any, shape: ListOf, at: _At) -> list[Any]:
        if not isinstance(value, list):
            raise _mismatch(value, shape, at)
        return [
            raw
            if _plain(raw, shape.item)
            else self.entry(raw, shape.item, (at, at[1], f"[{index}]"))
            for index, raw in enumerate(value)
        ]

    def mapping(self, value: Any, shape: MapOf, at: _At) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _mismatch(value, shape, at)
        return {
            key: raw
            if _plain(raw, shape.item)
            else self.entry(raw, shape.item, (at, at[1], f".{key}"))
            for key, raw in value.items()
        }

    def entry(self, raw: Any, shape: Shape, at: _At) -> Any:
        return zero(shape) if raw is None else self.value(raw, shape, at)


def _plain(raw: Any, shape: Shape) -> bool:
    """Strings and booleans, most of any object, need no further look."""
    kind = type(raw)
    return (kind is str and shape is Scalar.STRING) or (kind is bool and shape is Scalar.BOOL)


def zero(shape: Shape) -> Any:
    """What Go leaves where a null was sent or nothing came."""
    match shape:
        case Scalar.STRING:
            return ""
        case Scalar.BOOL:
            return False
        case Scalar():
            return 0
        case Special.QUANTITY:
            return "0"
        case Struct(fields=fields):
            return {name: zero(entry.shape) for name, entry in fields.items() if _filled(entry)}
        case _:
            return None


def _filled(entry: Field) -> bool:
    return entry.always and not isinstance(entry.shape, ListOf | MapOf | Special | Struct)


def _scalar(value: Any, shape: Scalar, at: _At) -> Any:
    if shape is Scalar.STRING:
        if type(value) is str:
            return value
    elif shape is Scalar.BOOL:
        if type(value) is bool:
            return value
    elif type(value) is int and -_INT_LIMITS[shape] <= value < _INT_LIMITS[shape]:
        return value
    elif type(value) in {int, float}:
        raise _mismatch(value, shape, at, f" {value!r}")
    raise _mismatch(value, shape, at)


def _special(value: Any, shape: Special) -> Any:
    if shape is Special.QUANTITY:
        return _quantity(value)
    if shape in {Special.TIME, Special.MICRO_TIME}:
        return _time(value, shape)
    return value


def _quantity(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        value = "?"
    text = value.strip() if isinstance(value, str) else repr(value)
    try:
        return str(parse(text))
    except QuantityError as error:
        raise DecodeError(str(error)) from None


def _time(value: Any, shape: Special) -> str:
    layout = (
        "2006-01-02T15:04:05.000000Z07:00"
        if shape is Special.MICRO_TIME
        else "2006-01-02T15:04:05Z07:00"
    )
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise DecodeError(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"')
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError as error:
        raise DecodeError(f'parsing time "{value}": {error}') from None
    if shape is Special.MICRO_TIME:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return rfc3339(moment)


_TYPE_META = (
    r'struct { APIVersion string "json:\"apiVersion,omitempty\""; '
    r'Kind string "json:\"kind,omitempty\"" }'
)


def cannot_read(body: Any) -> str:
    """Go's words for a body that is no object."""
    return f"cannot unmarshal {_json_kind(body)} into Go value of type {_TYPE_META}"


def _mismatch(value: Any, shape: Shape, at: _At, number: str = "") -> DecodeError:
    path = _plain_path(at)
    name = f"{at[1]}.{path}" if path else go_type(shape).rpartition(".")[2]
    return DecodeError(
        f"json: cannot unmarshal {_json_kind(value)}{number} into Go struct field {name} "
        f"of type {go_type(shape)}"
    )


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
