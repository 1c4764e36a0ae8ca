"""Does a custom resource fit its schema? Complaints as kube-openapi and apiextensions write them.

Called by a custom kind's strategy; `lists` adds what holds between the entries of a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydra_testbed.api._causes import Cause, invalid, not_supported, required, shown, too_many
from pydra_testbed.api._custom.formats import fits_format
from pydra_testbed.api._custom.pruning import EMBEDDED, TYPE_FIELDS


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "number": _is_number,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
}
_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object"}


def complaints(value: Any, schema: Mapping[str, Any], at: str = "") -> Iterator[Cause]:
    """What is wrong with a value, depth first."""
    if value is None and schema.get("nullable"):
        return
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, str) and not _CHECKS["integer"](value):
            yield _type(at, value, "integer,string")
    elif kind and not _CHECKS[kind](value):
        yield _type(at, value, kind)
        return
    yield from _plain(value, schema, at)
    yield from _combined(value, schema, at)
    if isinstance(value, dict):
        yield from _map(value, schema, at)
    elif isinstance(value, list):
        yield from _list(value, schema, at)


def _type(at: str, value: Any, wanted: str) -> Cause:
    found = "null" if value is None else _NAMES.get(type(value), "array")
    text = f'Invalid value: "{found}": {at} in body must be of type {wanted}: "{found}"'
    return Cause(at, "FieldValueTypeInvalid", text)


def _plain(value: Any, schema: Mapping[str, Any], at: str) -> Iterator[Cause]:
    """Enumerations, numbers and texts."""
    allowed = schema.get("enum")
    if allowed and value not in allowed:
        yield _unsupported(at, value, allowed)
    if isinstance(value, str):
        yield from _text(value, schema, at)
    elif _is_number(value):
        yield from _number(value, schema, at)


def _unsupported(at: str, value: Any, allowed: list[Any]) -> Cause:
    named = [item if isinstance(item, str) else shown(item) for item in allowed]
    if isinstance(value, str):
        return not_supported(at, value, named)
    listed = ", ".join(shown(item) for item in named)
    message = f"Unsupported value: {shown(value)}: supported values: {listed}"
    return Cause(at, "FieldValueNotSupported", message)


def _text(value: str, schema: Mapping[str, Any], at: str) -> Iterator[Cause]:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None and len(value) > longest:
        message = f"Too long: may not be more than {longest} bytes"
        yield Cause(at, "FieldValueTooLong", message)
    if shortest is not None and len(value) < shortest:
        yield invalid(at, value, f"{at} in body should be at least {shortest} chars long")
    pattern = schema.get("pattern")
    if pattern and not re.search(pattern, value):
        yield invalid(at, value, f"{at} in body should match '{pattern}'")
    wanted = schema.get("format")
    if wanted and not fits_format(wanted, value):
        text = f'Invalid value: {shown(value)}: {at} in body must be of type {wanted}: "{value}"'
        yield Cause(at, "FieldValueTypeInvalid", text)


def _number(value: float, schema: Mapping[str, Any], at: str) -> Iterator[Cause]:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, under = bool(schema.get("exclusiveMinimum")), bool(schema.get("exclusiveMaximum"))
    if least is not None and (value < least or (above and value == least)):
        than = "greater than" if above else "greater than or equal to"
        yield invalid(at, value, f"{at} in body should be {than} {least}")
    if most is not None and (value > most or (under and value == most)):
        than = "less than" if under else "less than or equal to"
        yield invalid(at, value, f"{at} in body should be {than} {most}")
    step = schema.get("multipleOf")
    if step and value % step:
        yield invalid(at, value, f"{at} in body should be a multiple of {step}")


def _map(value: dict[str, Any], schema: Mapping[str, Any], at: str) -> Iterator[Cause]:
    known, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    is_resource = not at or bool(schema.get(EMBEDDED))
    yield from _count(at, len(value), schema, "Properties")
    for name in schema.get("required") or ():
        if name not in value:
            yield required(f"{at}.{name}".lstrip("."))
    for key, item in value.items():
        below = known.get(key, rest)
        if isinstance(below, dict) and not (is_resource and key in TYPE_FIELDS):
            yield from complaints(item, below, f"{at}.{key}".lstrip("."))


def _list(value: list[Any], schema: Mapping[str, Any], at: str) -> Iterator[Cause]:
    yield from _count(at, len(value), schema, "Items")
    items = schema.get("items")
    if isinstance(items, dict):
        for index, item in enumerate(value):
            yield from complaints(item, items, f"{at}[{index}]")


def _count(at: str, count: int, schema: Mapping[str, Any], what: str) -> Iterator[Cause]:
    most, least = schema.get(f"max{what}"), schema.get(f"min{what}")
    if most is not None and count > most:
        yield too_many(at, count, most)
    if least is not None and count < least:
        detail = f"{at} in body should have at least {least} {what.lower()}"
        yield invalid(at, count, detail)


def _combined(value: Any, schema: Mapping[str, Any], at: str) -> Iterator[Cause]:
    """`allOf`, `anyOf`, `oneOf` and `not`; their schemas only judge."""
    for part in schema.get("allOf") or ():
        yield from complaints(value, part, at)
    fitting = [_fits(value, part, at) for part in schema.get("anyOf") or ()]
    if fitting and not any(fitting):
        yield invalid(at, "", f'"{at}" must validate at least one schema (anyOf)')
    alone = [_fits(value, part, at) for part in schema.get("oneOf") or ()]
    if alone and sum(alone) != 1:
        count = sum(alone) or "none"
        text = f'"{at}" must validate one and only one schema (oneOf). Found {count} valid'
        yield invalid(at, "", text)
    if schema.get("not") and _fits(value, schema["not"], at):
        yield invalid(at, "", f'"{at}" must not validate the schema (not)')


def _fits(value: Any, schema: Mapping[str, Any], at: str) -> bool:
    return next(complaints(value, schema, at), None) is None
