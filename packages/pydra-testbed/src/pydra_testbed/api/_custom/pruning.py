"""Fields that a structural schema does not know are dropped; called when a custom resource comes in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
TYPE_FIELDS = frozenset({"apiVersion", "kind", "metadata"})


def prune(obj: dict[str, Any], schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Drop what the schema does not name, in place; returns the paths of what was dropped."""
    return tuple(_map(obj, schema, "", is_resource=True))


def _value(value: Any, schema: Mapping[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _map(value, schema, at, is_resource=bool(schema.get(EMBEDDED)))
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from _value(item, schema["items"], f"{at}[{index}]")


def _map(
    value: dict[str, Any], schema: Mapping[str, Any], at: str, *, is_resource: bool
) -> Iterator[str]:
    known, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    for key in list(value):
        path = f"{at}.{key}".lstrip(".")
        if is_resource and key in TYPE_FIELDS:
            continue
        if key in known:
            yield from _value(value[key], known[key], path)
        elif isinstance(rest, dict):
            yield from _value(value[key], rest, path)
        elif not rest and not schema.get(PRESERVE):
            del value[key]
            yield path
