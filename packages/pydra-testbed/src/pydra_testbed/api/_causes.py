"""What is wrong with an object, field by field, in the words and reasons of Kubernetes' field errors.

Validation rules return lists of `Cause`; `_problems.invalid` turns them into one 422 answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

_HTML = re.compile("[<>&\u2028\u2029]")
_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\", '"': '\\"',
}  # fmt: skip
_DELETE = 0x7F
_BEYOND = 0x10000


@dataclass(frozen=True, slots=True)
class Cause:
    """One field error: `reason` is Kubernetes' cause type, `message` comes without the field."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


Causes: TypeAlias = list[Cause]


def shown(value: Any) -> str:
    """A value as error texts show it: JSON as Go writes it, with strings in Go's quotes."""
    if isinstance(value, str):
        return quoted(value)
    return _HTML.sub(lambda match: f"\\u{ord(match[0]):04x}", msgspec.json.encode(value).decode())


def quoted(text: str) -> str:
    """Go's %q."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(letter: str) -> str:
    code = ord(letter)
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    if code <= _DELETE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _BEYOND else f"\\U{code:08x}"


def required(field: str, detail: str = "") -> Cause:
    message = f"Required value: {detail}" if detail else "Required value"
    return Cause(field, "FieldValueRequired", message)


def invalid(field: str, value: Any, detail: str) -> Cause:
    return Cause(field, "FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}")


def duplicate(field: str, value: Any) -> Cause:
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")


def not_supported(field: str, value: str, supported: Iterable[str]) -> Cause:
    listed = ", ".join(quoted(item) for item in supported)
    message = f"Unsupported value: {quoted(value)}: supported values: {listed}"
    return Cause(field, "FieldValueNotSupported", message)


def not_found(field: str, value: str, detail: str = "") -> Cause:
    message = f"Not found: {quoted(value)}"
    return Cause(field, "FieldValueNotFound", f"{message}: {detail}" if detail else message)


def forbidden(field: str, detail: str) -> Cause:
    return Cause(field, "FieldValueForbidden", f"Forbidden: {detail}")


def too_long(field: str, limit: int) -> Cause:
    return Cause(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def too_many(field: str, actual: int, limit: int) -> Cause:
    message = f"Too many: {actual}: must have at most {limit} items"
    return Cause(field, "FieldValueTooMany", message)


def all_invalid(field: str, value: Any, details: Iterable[str]) -> Causes:
    """One `invalid` per complaint about the same value."""
    return [invalid(field, value, detail) for detail in details]
