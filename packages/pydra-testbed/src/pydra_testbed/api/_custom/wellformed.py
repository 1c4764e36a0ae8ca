"""Is a schema made of what schemas are made of? Asked before anything reads it; Kubernetes' decoder does this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydra_testbed.api._causes import Cause, invalid

_NUMBERS = frozenset(
    [
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
    ]
)
_TEXTS = frozenset(
    ["type", "format", "pattern", "description", "x-kubernetes-list-type", "x-kubernetes-map-type"]
)
_TEXT_LISTS = frozenset(["required", "x-kubernetes-list-map-keys"])
_SCHEMA_LISTS = frozenset(["allOf", "anyOf", "oneOf"])
_RULES = "x-kubernetes-validations"


def malformed(schema: Any, at: str) -> Iterator[Cause]:
    """The places where a value is of a type that its keyword never has."""
    if not isinstance(schema, dict):
        yield invalid(at, schema, "must be an object")
        return
    for key, value in schema.items():
        here = f"{at}.{key}"
        if key == "properties":
            yield from _schemas(value, here)
        elif key in {"items", "not"} or (
            key == "additionalProperties" and value not in (True, False)
        ):
            yield from malformed(value, here)
        elif key in _SCHEMA_LISTS:
            yield from _listed(value, here)
        elif not _is_right(key, value):
            yield invalid(here, value, "is of the wrong type")


def _schemas(value: Any, at: str) -> Iterator[Cause]:
    if not isinstance(value, dict):
        yield invalid(at, value, "must be an object")
        return
    for name, child in value.items():
        yield from malformed(child, f"{at}[{name}]")


def _listed(value: Any, at: str) -> Iterator[Cause]:
    if not isinstance(value, list):
        yield invalid(at, value, "must be a list")
        return
    for index, child in enumerate(value):
        yield from malformed(child, f"{at}[{index}]")


def _is_right(key: str, value: Any) -> bool:
    if key in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if key in _TEXTS:
        return isinstance(value, str)
    if key in _TEXT_LISTS:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if key == "enum":
        return isinstance(value, list)
    if key == _RULES:
        return isinstance(value, list) and all(map(_is_rule, value))
    return True


def _is_rule(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    texts = (value.get(name, "") for name in ("rule", "message", "messageExpression", "fieldPath"))
    return all(isinstance(text, str) for text in texts)
