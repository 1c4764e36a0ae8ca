"""How records lie in the journal file: a header with the format version, then CRC-framed payloads.

Frame: payload length and CRC-32 of the payload, both 32-bit little endian, then the payload, a JSON object.
A frame that cannot be read costs only itself: what stands before and behind it still counts. Bytes that an
interrupted write leaves at the end (torn) are told apart from bytes that changed later (damage).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"pydra-journal\n"
_VERSION = struct.Struct("<H")
_FRAME = struct.Struct("<II")
HEADER_SIZE = len(MAGIC) + _VERSION.size
MAX_PAYLOAD = 16 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """One readable payload and the offset just behind it."""

    payload: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes from `start` to `end` that hold no readable frame; `torn` if an interrupted write explains them."""

    start: int
    end: int
    why: str
    torn: bool = False


def header(version: int) -> bytes:
    """The first bytes of a journal of that format version."""
    return MAGIC + _VERSION.pack(version)


def version_of(data: bytes) -> int | None:
    """The format version of a journal's first bytes, or None if they are no journal header."""
    if len(data) < HEADER_SIZE or not data.startswith(MAGIC):
        return None
    return int(_VERSION.unpack_from(data, len(MAGIC))[0])


def frame(payload: bytes) -> bytes:
    """Wrap one payload."""
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def read(data: bytes, start: int) -> Iterator[Frame | Damage]:
    """Yield every frame from `start` on, and the damage between or behind them."""
    while start < len(data):
        if (end := _whole(data, start)) is not None:
            yield Frame(data[start + _FRAME.size : end], end)
        else:
            end = _next_whole(data, start + 1)
            yield from _damaged(data, start, end)
        start = end


def _whole(data: bytes, start: int) -> int | None:
    """Return the end of the frame at `start`, or None if there is no readable one."""
    if start < 0 or len(data) - start < _FRAME.size:
        return None
    length, crc = _FRAME.unpack_from(data, start)
    end = start + _FRAME.size + int(length)
    if not 0 < length <= MAX_PAYLOAD or end > len(data):
        return None
    return end if zlib.crc32(memoryview(data)[start + _FRAME.size : end]) == crc else None


def _next_whole(data: bytes, start: int) -> int:
    """Find where the next readable frame begins, or the end of the data."""
    brace = data.find(b"{", start + _FRAME.size)
    while brace >= 0:
        if _whole(data, brace - _FRAME.size) is not None:
            return brace - _FRAME.size
        brace = data.find(b"{", brace + 1)
    return len(data)


def _damaged(data: bytes, start: int, end: int) -> Iterator[Frame | Damage]:
    """Tell what is wrong between `start` and `end`; a payload whose length alone is wrong is still good."""
    rest = data[start:end]
    if len(rest) < _FRAME.size or not any(rest):
        yield Damage(start, end, "torn frame header", torn=end == len(data))
        return
    length, crc = _FRAME.unpack_from(rest)
    body = rest[_FRAME.size :]
    if body and zlib.crc32(body) == crc:
        yield Damage(start, start + _FRAME.size, "length does not match")
        yield Frame(body, end)
    elif length > len(body) and end == len(data):
        yield Damage(start, end, "torn frame", torn=True)
    else:
        yield Damage(start, end, "checksum does not match")
