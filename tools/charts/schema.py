"""The JSON Schema and the table of a chart's values, made of its values.yaml.

Helm holds values against the schema at install, upgrade and lint: a misspelt key is refused, not ignored.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from charts.values_file import Value, ValuesError

_DRAFT = "http://json-schema.org/draft-07/schema#"
"""The newest draft that every Helm 3 knows."""
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}


def schema(title: str, values: Sequence[Value]) -> dict[str, Any]:
    """The whole schema. Raises `ValuesError`."""
    properties = _properties((), values)
    # Helm gives every chart that is part of another one this key.
    properties["global"] = {"type": "object", "description": "Unused; Helm's own."}
    return {
        "$schema": _DRAFT,
        "title": title,
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _properties(above: tuple[str, ...], values: Sequence[Value]) -> dict[str, Any]:
    return {v.path[-1]: _one(v, values) for v in values if v.path[:-1] == above}


def _one(value: Value, values: Sequence[Value]) -> dict[str, Any]:
    found: dict[str, Any] = {"description": value.says}
    if isinstance(value.default, dict):
        properties = _properties(value.path, values)
        if not properties and "additionalProperties" not in value.extra:
            raise ValuesError(f"{'.'.join(value.path)}: is empty; say by @ what may be in it")
        found |= {"type": "object", "additionalProperties": False}
        found |= {"properties": properties} if properties else {}
    elif type(value.default) in _TYPES:
        found |= {"type": _TYPES[type(value.default)], "default": value.default}
    else:
        raise ValuesError(f"{'.'.join(value.path)}: give it a default that shows its type")
    if value.default == [] and "items" not in value.extra:
        raise ValuesError(f"{'.'.join(value.path)}: is empty; say by @ what may be in it")
    return {**found, **value.extra}


def table(values: Sequence[Value]) -> Iterator[str]:
    """Markdown, one row a value; those that only hold others have no default."""
    yield "| value | default | meaning |\n|---|---|---|\n"
    for value in values:
        holds = isinstance(value.default, dict) and value.default
        default = "" if holds else f" `{json.dumps(value.default)}`"
        yield f"| `{'.'.join(value.path)}` |{default} | {value.says.replace('|', chr(92) + '|')} |\n"
