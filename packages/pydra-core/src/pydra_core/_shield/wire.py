"""What a worker says and is told: JSON in frames of a four-byte length. The worker's side is in `worker.py`.

A worker whose memory is corrupt may send anything, so nothing it sends is believed before it is decoded strictly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

LONGEST = 16 << 20
"""Bytes of one frame at most: a corrupted library must not fill the driver's memory."""
HEADER = 4


class Value(msgspec.Struct, frozen=True, tag_field="t", tag="value"):
    """The operation returned, or a generator yielded."""

    value: Any


class Failure(msgspec.Struct, frozen=True, tag_field="t", tag="error"):
    """The operation raised. `classes` are the error's own and its bases', nearest first; none: not translated."""

    classes: tuple[str, ...]
    message: str
    fields: dict[str, Any]
    trace: str


class End(msgspec.Struct, frozen=True, tag_field="t", tag="end"):
    """The generator came to its end."""


Answer: TypeAlias = Value | Failure | End

_answers = msgspec.json.Decoder(Answer)
_encoder = msgspec.json.Encoder()


class Start(msgspec.Struct, frozen=True):
    """The first frame: what the worker is to be."""

    module: str
    path: Sequence[str]
    parent: int
    memory: int | None
    longest: int = LONGEST


def start(said: Start) -> bytes:
    """The frame that makes a fresh process a worker."""
    return frame(_encoder.encode(said))


def request(name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> bytes:
    """The frame that asks for one operation.

    Raises:
        TypeError: an argument is no JSON.
        ValueError: the arguments are longer than a frame.
    """
    return frame(_encoder.encode([name, args, kwargs]))


def frame(body: bytes) -> bytes:
    """Put the length before it."""
    if len(body) > LONGEST:
        raise ValueError(f"{len(body)} bytes of JSON arguments; {LONGEST} at most")
    return len(body).to_bytes(HEADER, "big") + body


def decode(body: bytes | memoryview) -> Answer:
    """Read an answer.

    Raises:
        msgspec.DecodeError: it is none.
    """
    try:
        answer: Answer = _answers.decode(body)
    except RecursionError as err:
        raise msgspec.DecodeError("nested without end") from err
    return answer
