"""Reading a request's JSON, with what its text says beyond the values: doubled fields, numbers, sizes.

Kubernetes warns of fields that come twice, quotes numbers as they were written, and measures opaque data with the
spaces it came with.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from pydra_testbed.api._gosyntax import SyntaxProblem, problem

_OPAQUE = re.compile(r'"(parameters|data)"\s*:\s*(?=\{)')
_MEASURED_FROM = 8 * 1024
_SCANNER = json.JSONDecoder()


class Sent(dict[str, Any]):
    """A JSON object, and what its text said beyond its values.

    Attributes:
        doubles: Its fields that came more than once; the last value counts.
        numbers: In the outermost object: how fractions were written, where Python writes them otherwise.
        size: Its length in bytes as it was sent, 0 when nobody measured.
    """

    doubles: tuple[str, ...] = ()
    numbers: Mapping[float, str] = MappingProxyType({})
    size: int = 0


def read(body: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none; a `SyntaxProblem` when Go has words for it.
    """
    numbers: dict[float, str] = {}

    def fraction(text: str) -> float:
        value = float(text)
        if repr(value) != text:
            numbers[value] = text
        return value

    try:
        if b"\\u" in body:
            msgspec.json.decode(body)  # halves of surrogate pairs, which could not be written again
        found = json.loads(
            body, object_pairs_hook=_object, parse_float=fraction, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        told = problem(body.decode(errors="replace"))
        raise SyntaxProblem(told or str(error)) from None
    if numbers and isinstance(found, dict):
        found = _marked(found)
        found.numbers = numbers
    if len(body) > _MEASURED_FROM:
        _measure(found, body.decode())
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    marked = Sent(found)
    marked.doubles = tuple(
        n for n, times in Counter(name for name, _ in pairs).items() if times > 1
    )
    return marked


def _marked(obj: dict[str, Any]) -> Sent:
    return obj if isinstance(obj, Sent) else Sent(obj)


def _measure(found: Any, text: str) -> None:
    """Let opaque objects know their size; they come in the order of the text."""
    spans = [
        _SCANNER.raw_decode(text, match.end())[1] - match.end() for match in _OPAQUE.finditer(text)
    ]
    holders = list(_holders(found))
    if len(spans) != len(holders):
        return
    for match, (holder, name), length in zip(_OPAQUE.finditer(text), holders, spans, strict=True):
        marked = _marked(holder[name])
        marked.size = len(text[match.end() : match.end() + length].encode())
        holder[name] = marked


def _holders(value: Any) -> Iterator[tuple[dict[str, Any], str]]:
    if isinstance(value, list):
        for item in value:
            yield from _holders(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in {"parameters", "data"} and isinstance(item, dict):
                yield value, name
            yield from _holders(item)
