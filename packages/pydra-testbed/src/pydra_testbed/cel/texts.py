"""String functions that fail in other words, or for other positions, than the evaluator's own."""

from __future__ import annotations

from typing import Any

NO_OVERLOAD = "no such overload"


def index_of(text: Any, part: Any, offset: Any) -> int:
    """`indexOf(string, int)`; an offset behind the end finds nothing."""
    _check(text, part, offset)
    if offset < 0:
        raise ValueError(f"index out of range: {offset}")
    return -1 if offset > len(text) else int(text.find(part, offset))


def char_at(text: Any, position: Any) -> str:
    """`charAt(int)`; just behind the end it is empty."""
    _check(text, "", position)
    if not 0 <= position <= len(text):
        raise ValueError(f"index out of range: {position}")
    return str(text[position : position + 1])


def substring(text: Any, start: Any, end: Any = None) -> str:
    """`substring(int)` and `substring(int, int)`."""
    _check(text, "", start)
    stop = len(text) if end is None else end
    _check(text, "", stop)
    if end is not None and start > stop:
        raise ValueError(f"invalid substring range. start: {start}, end: {stop}")
    for position in (start, stop):
        if not 0 <= position <= len(text):
            raise ValueError(f"index out of range: {position}")
    return str(text[start:stop])


def _check(text: Any, part: Any, position: Any) -> None:
    is_number = isinstance(position, int) and not isinstance(position, bool)
    if not isinstance(text, str) or not isinstance(part, str) or not is_number:
        raise TypeError(NO_OVERLOAD)
