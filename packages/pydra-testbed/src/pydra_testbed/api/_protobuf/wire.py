"""The protobuf wire format, as far as Kubernetes' messages use it; called by `envelope`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from pydra_testbed.api._protobuf.messages import MESSAGES, SKIPPED, TEXT, MessageField

_VARINT, _LONG, _BYTES, _SHORT = 0, 1, 2, 5
_DEPTH_MAX = 40


class WireError(ValueError):
    """The bytes are no such message, or hold a field that is not read here."""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """A message's fields by number, in order.

    Raises:
        WireError: it ends early.
    """
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        size, position = _size(data, position, kind)
        if position + size > len(data):
            raise WireError("the message ends in the middle of a field")
        yield tag >> 3, data[position : position + size]
        position += size


def _size(data: bytes, position: int, kind: int) -> tuple[int, int]:
    if kind == _BYTES:
        return _varint(data, position)
    if kind not in {_LONG, _SHORT}:
        raise WireError(f"there is no wire type {kind}")
    return (8 if kind == _LONG else 4), position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:  # noqa: PLR2004 -- ten bytes at most
            raise WireError("the message ends in the middle of a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 -- the last byte of a number
            return value, position
        shift += 7


def decode(data: bytes, message: str, depth: int = 0) -> dict[str, Any]:
    """A message as the JSON object it stands for; empty fields are left out, as JSON does.

    Raises:
        WireError: names the message and the field.
    """
    if depth > _DEPTH_MAX:
        raise WireError(f"{message}: nested too deeply")
    known, found = MESSAGES[message], dict[str, Any]()
    for number, raw in fields(data):
        field = known.get(number)
        if field is None:
            raise WireError(f"field {number} of {message} is not read here; send JSON instead")
        if field.type != SKIPPED:
            _put(found, field, raw, depth)
    return found


def _put(found: dict[str, Any], field: MessageField, raw: int | bytes, depth: int) -> None:
    if field.type in {"map", "data", "amounts"}:
        key, value = _entry(field, _octets(field, raw))
        found.setdefault(field.name, {})[key] = value
        return
    value = _value(field, raw, depth)
    if field.repeated:
        found.setdefault(field.name, []).append(value)
    elif value or field.kept:
        found[field.name] = value


def _value(field: MessageField, raw: int | bytes, depth: int) -> Any:
    if field.type in {"int", "bool"}:
        if not isinstance(raw, int):
            raise WireError(f"{field.name} must be a number")
        if field.type == "bool":
            return bool(raw)
        return raw - (1 << 64) if raw >> 63 else raw
    data = _octets(field, raw)
    return _text(field, data) if field.type == TEXT else decode(data, field.type, depth + 1)


def _octets(field: MessageField, raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise WireError(f"{field.name} must not be a number")
    return raw


def _text(field: MessageField, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise WireError(f"{field.name} is no UTF-8 text") from None


def _entry(field: MessageField, data: bytes) -> tuple[str, str]:
    parts = {number: _octets(field, raw) for number, raw in fields(data)}
    key, value = _text(field, parts.get(1, b"")), parts.get(2, b"")
    if field.type == "data":
        return key, base64.b64encode(value).decode()
    if field.type == "amounts":
        value = _octets(field, dict(fields(value)).get(1, b""))
    return key, _text(field, value)
