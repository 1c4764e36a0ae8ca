"""The vocabulary of field tables: how a Kubernetes type is written down as a value.

One table serves several readers: decoding (types, unknown fields, nulls), writing out (which empty fields
vanish), and list keys for merging. `go` names are part of Kubernetes' error texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class Scalar(Enum):
    """A JSON scalar; the value is Go's name of the type."""

    STRING = "string"
    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"


class Special(Enum):
    """A type with its own reading: the value is Go's name of the type."""

    QUANTITY = "resource.Quantity"
    TIME = "v1.Time"
    MICRO_TIME = "v1.MicroTime"
    RAW = "runtime.RawExtension"
    ANY = "interface {}"


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; `keys` are the fields that identify an entry when lists are merged (none: atomic)."""

    item: Shape
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map from strings; `key` is Go's name of the key type."""

    item: Shape
    key: str = "string"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. A `pointer` keeps its zero value; `always` writes the field even when it is absent."""

    shape: Shape
    pointer: bool = False
    always: bool = False


@dataclass(frozen=True, slots=True)
class Struct:
    """An object with named fields. `open`: fields outside the table pass through untouched."""

    go: str
    fields: Mapping[str, Field]
    open: bool = False


Shape: TypeAlias = Scalar | Special | ListOf | MapOf | Struct

STRING, BOOL, INT32, INT64 = Scalar.STRING, Scalar.BOOL, Scalar.INT32, Scalar.INT64
QUANTITY, TIME, MICRO_TIME = Special.QUANTITY, Special.TIME, Special.MICRO_TIME
RAW, ANY = Special.RAW, Special.ANY
STRINGS = ListOf(STRING)
STRING_MAP = MapOf(STRING)


def pointer(shape: Shape) -> Field:
    """An optional field that remembers whether it was set."""
    return Field(shape, pointer=True)


def always(shape: Shape) -> Field:
    """A field that is written even when it is empty."""
    return Field(shape, always=True)


def struct(go: str, fields: Mapping[str, Shape | Field], *, open_: bool = False) -> Struct:
    """A struct; bare shapes are optional fields that vanish when empty (nested structs never do)."""
    return Struct(
        go,
        {name: _field(entry) for name, entry in fields.items()},
        open=open_,
    )


def _field(entry: Shape | Field) -> Field:
    if isinstance(entry, Field):
        return entry
    return Field(entry, always=isinstance(entry, Struct))


def go_type(shape: Shape) -> str:
    """The type's name in Go, as decoding errors print it."""
    match shape:
        case Scalar() | Special():
            return str(shape.value)
        case ListOf(item=item):
            return f"[]{go_type(item)}"
        case MapOf(item=item, key=key):
            return f"map[{key}]{go_type(item)}"
        case Struct(go=go):
            return f"v1.{go}"
