"""Tables for people, as lines of text: aligned, and readable at any width without losing a character.

`output` is the caller. A table that is too wide wraps its last column; where that leaves too little
room, each row becomes a small list of its own.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

_GAP = 2
_ROOM = 24
"""Columns the last one must have for wrapping it to be readable."""
_NARROWEST = 8
_INDENT = "    "
_BREAK_AFTER = frozenset(" /,;=")


def printable(text: str) -> str:
    """Escape what would command a terminal instead of being shown by it: control and format characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def columns(text: str) -> int:
    """Count the columns a terminal gives the text: two for wide characters, none for combining ones."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def wrap(text: str, width: int | None) -> Iterator[str]:
    """Break text into pieces of at most `width` columns, after a separator where there is one; None: no limit."""
    rest = text
    while width is not None and len(rest) > 1 and columns(rest) > width:
        cut = _cut(rest, width)
        yield rest[:cut].rstrip()
        rest = rest[cut:].lstrip(" ")
    yield rest


def hanging(text: str, width: int | None, indent: str = "") -> Iterator[str]:
    """Give a sentence as lines of at most `width` columns, those after the first one indented."""
    room = None if width is None else max(width - len(_INDENT), _NARROWEST)
    first, *more = wrap(printable(text), room)
    yield f"{indent}{first}"
    yield from (f"{_INDENT}{piece}" for piece in more)


def _cut(text: str, width: int) -> int:
    used = end = 0
    while used + _columns(text[end]) <= width:
        used += _columns(text[end])
        end += 1
    for place in range(end, end // 2, -1):
        if text[place - 1] in _BREAK_AFTER:
            return place
    return max(end, 1)


def render(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> Iterator[str]:
    """Give the lines of a table; nothing for no rows.

    Args:
        headers: One for each column.
        rows: The cells; anything a terminal would act on is escaped.
        width: Columns of the terminal; None for no limit, which is what programs want.
    """
    cells = [tuple(map(printable, row)) for row in rows]
    if not cells:
        return
    widths = [max(map(columns, column)) for column in zip(headers, *cells, strict=True)]
    left = sum(widths[:-1]) + _GAP * (len(widths) - 1)
    if width is None or left + widths[-1] <= width:
        yield from _aligned(headers, cells, widths, None)
    elif width - left >= _ROOM:
        yield from _aligned(headers, cells, widths, width - left)
    else:
        yield from _listed(headers, cells, width)


def _aligned(
    headers: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], last: int | None
) -> Iterator[str]:
    indent = " " * (sum(widths[:-1]) + _GAP * (len(widths) - 1))
    for row in (headers, *rows):
        padded = (_pad(cell, size + _GAP) for cell, size in zip(row[:-1], widths[:-1], strict=True))
        first, *more = wrap(row[-1], last)
        yield f"{''.join(padded)}{first}".rstrip()
        yield from (f"{indent}{piece}" for piece in more)


def _listed(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    label = max(map(columns, headers)) + _GAP
    for number, row in enumerate(rows):
        if number:
            yield ""
        for header, cell in zip(headers, row, strict=True):
            first, *more = wrap(cell, max(width - label, _NARROWEST))
            yield f"{_pad(header, label)}{first}".rstrip()
            yield from (f"{' ' * label}{piece}" for piece in more)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - columns(text))
