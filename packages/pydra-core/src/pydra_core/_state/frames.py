"""How records lie in the journal file: a header with the format version, then CRC-framed payloads.

Frame: payload length and CRC-32 of the payload, both 32-bit little endian, then the payload. A torn or
flipped frame is told apart from the end of the file, and everything before it still counts.
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
    """Bytes from `start` to `end` that hold no readable frame."""

    start: int
    end: int
    why: str


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
        if len(data) - start < _FRAME.size:
            yield Damage(start, len(data), "torn frame header")
            return
        length, crc = _FRAME.unpack_from(data, start)
        end = start + _FRAME.size + length
        if length > MAX_PAYLOAD or end > len(data):
            yield Damage(start, len(data), "torn or overlong frame")
            return
        payload = data[start + _FRAME.size : end]
        if zlib.crc32(payload) != crc:
            yield Damage(start, end, "checksum does not match")
        else:
            yield Frame(payload, end)
        start = end
