"""Static types: their kinds, and how cel-go spells them in error texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any

_PRIMITIVES = ("", "bool", "int", "uint", "double", "string", "bytes")
_WELL_KNOWN = ("", "google.protobuf.Any", "google.protobuf.Timestamp", "google.protobuf.Duration")
_ANY = 1


class Kind(Enum):
    """What a type is, as far as costs tell types apart."""

    UNKNOWN = auto()
    SCALAR = auto()
    TEXT = auto()
    LIST = auto()
    MAP = auto()
    MESSAGE = auto()
    OPAQUE = auto()
    PARAMETER = auto()


_KINDS = {
    "list_type": Kind.LIST,
    "map_type": Kind.MAP,
    "message_type": Kind.MESSAGE,
    "type_param": Kind.PARAMETER,
    "abstract_type": Kind.OPAQUE,
}
# Messages here, opaque types in Kubernetes.
_OPAQUE = frozenset({"net.IP", "net.CIDR"})


def kind_of(kind: Any) -> Kind:
    """The kind of a `cel.expr.Type` message."""
    case = kind.WhichOneof("kind") if kind is not None else None
    if case == "primitive":
        return Kind.TEXT if _PRIMITIVES[kind.primitive] in {"string", "bytes"} else Kind.SCALAR
    if case == "well_known":
        return Kind.UNKNOWN if kind.well_known == _ANY else Kind.SCALAR
    if case == "message_type" and kind.message_type in _OPAQUE:
        return Kind.OPAQUE
    return _KINDS.get(case or "", Kind.UNKNOWN)


def type_text(kind: Any) -> str:
    """Spell a `cel.expr.Type` message."""
    case = kind.WhichOneof("kind")
    return _SPELLINGS[case](getattr(kind, case)) if case in _SPELLINGS else "dyn"


def _parametric(name: str, parameters: Iterable[Any]) -> str:
    inner = ", ".join(map(type_text, parameters))
    return f"{name}({inner})" if inner else name


_SPELLINGS: dict[str, Callable[[Any], str]] = {
    "primitive": lambda number: _PRIMITIVES[number],
    "well_known": lambda number: _WELL_KNOWN[number],
    "wrapper": lambda number: f"wrapper({_PRIMITIVES[number]})",
    "list_type": lambda kind: _parametric("list", [kind.elem_type]),
    "map_type": lambda kind: _parametric("map", [kind.key_type, kind.value_type]),
    "message_type": str,
    "type": lambda kind: _parametric("type", [kind]),
    "abstract_type": lambda kind: _parametric(kind.name, kind.parameter_types),
    "null": lambda _: "null",
}
