"""Static types in cel-go's words, for error texts."""

from __future__ import annotations

from typing import Any

_PRIMITIVES = ("", "bool", "int", "uint", "double", "string", "bytes")
_WELL_KNOWN = ("", "google.protobuf.Any", "google.protobuf.Timestamp", "google.protobuf.Duration")


def type_text(kind: Any) -> str:
    """Spell a `cel.expr.Type` message."""
    match kind.WhichOneof("kind"):
        case "primitive":
            return _PRIMITIVES[kind.primitive]
        case "well_known":
            return _WELL_KNOWN[kind.well_known]
        case "wrapper":
            return f"wrapper({_PRIMITIVES[kind.wrapper]})"
        case "list_type":
            return f"list({type_text(kind.list_type.elem_type)})"
        case "map_type":
            key, value = kind.map_type.key_type, kind.map_type.value_type
            return f"map({type_text(key)}, {type_text(value)})"
        case "message_type":
            return str(kind.message_type)
        case "type":
            return f"type({type_text(kind.type)})"
        case "abstract_type":
            parameters = ", ".join(map(type_text, kind.abstract_type.parameter_types))
            return f"{kind.abstract_type.name}({parameters})" if parameters else kind.abstract_type.name
        case "null":
            return "null"
        case _:
            return "dyn"
