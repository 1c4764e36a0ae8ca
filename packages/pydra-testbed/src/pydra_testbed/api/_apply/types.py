"""How values merge: which maps and lists are one value, which lists are known by keys.

Built from a kind's field table (`builtin`) or a custom resource's schema (`_custom`), read by `typed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias


class Leaf(Enum):
    """A scalar, by what it may be."""

    STRING = "string"
    BOOLEAN = "boolean"
    NUMERIC = "numeric"
    ANY = "any scalar"


class Open(Enum):
    """A value without a type: maps merge by key, lists are one value.

    In a `STRUCT` the keys are taken for fields, in a `MAP` for keys: who owns a key owns the map's entry.
    """

    STRUCT = "struct"
    MAP = "map"


@dataclass(frozen=True, slots=True)
class MapType:
    """An object: its known fields, and what other keys hold (None: there are none)."""

    fields: Mapping[str, MergeType] = field(default_factory=dict)
    rest: MergeType | None = None
    atomic: bool = False
    rest_named: bool = False

    def of(self, key: str) -> MergeType | None:
        """The type behind a key; None when the key is not known."""
        return self.fields.get(key, self.rest)

    def is_named(self, key: str) -> bool:
        """Whether the key is a field, as against an entry of a map."""
        return self.rest_named or key in self.fields


@dataclass(frozen=True, slots=True)
class ListType:
    """A list: one value, or entries known by `keys`, or (`unique`) by themselves.

    `defaults` stand for keys that an entry leaves out.
    """

    item: MergeType
    keys: tuple[str, ...] = ()
    unique: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def atomic(self) -> bool:
        return not self.keys and not self.unique


MergeType: TypeAlias = Leaf | Open | MapType | ListType

_OPEN_STRUCT = MapType(rest=Open.STRUCT, rest_named=True)
_OPEN_MAP = MapType(rest=Open.MAP)
_OPEN_LIST = ListType(Open.MAP)


def resolved(shape: MergeType, *values: Any) -> Leaf | MapType | ListType:
    """The type to walk these values by: an open type is what the first value that is there makes of it."""
    if not isinstance(shape, Open):
        return shape
    value = next((value for value in values if value is not None), None)
    if isinstance(value, dict):
        return _OPEN_STRUCT if shape is Open.STRUCT else _OPEN_MAP
    return _OPEN_LIST if isinstance(value, list) else Leaf.ANY
