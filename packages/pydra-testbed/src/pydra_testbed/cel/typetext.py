"""Static types in cel-go's words, for error texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

_PRIMITIVES = ("", "bool", "int", "uint", "double", "string", "bytes")
_WELL_KNOWN = ("", "google.protobuf.Any", "google.protobuf.Timestamp", "google.protobuf.Duration")


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
