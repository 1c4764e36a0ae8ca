"""YAML text to plain data, with the scalar rules of the parser that runtimes use.

PyYAML's own constructors are not used: they read `12:30` as 750 and dates as dates, keep the last of two
equal keys, and its C composer overruns the stack on deep nesting. This reads PyYAML's event stream
instead, with bounds on depth and on what aliases may expand to. `_text` imports it only for YAML.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from pydra_cdi.errors import UnreadableError

_MAX_DEPTH = 64
_MAX_NODES = 1_000_000
_MAX_DIGITS = 64
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"})
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_BASES = (16, 2, 8, 10)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def parse_yaml(text: str) -> Any:
    """Read the one document in `text`.

    Raises:
        UnreadableError: It is not YAML, holds more than one document, or is nested or aliased beyond reason.
    """
    try:
        return _Reader(yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1} column {mark.column + 1} " if mark else ""
        raise UnreadableError(f"{where}is not YAML: {error.problem}", "mend it there") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise UnreadableError(
            f"it is not YAML: {error}", "save it as UTF-8 without control characters"
        ) from error


def _resolve(text: str) -> Any:
    """Give a plain scalar its type as YAML 1.1 is read by runtimes; dates and `12:30` stay strings."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    plain = text.replace("_", "")
    if found := _INTEGER.fullmatch(plain):
        digits, base = next(
            (d, b) for d, b in zip(found.groups()[1:], _BASES, strict=True) if d is not None
        )
        return int(found[1] + digits, base) if len(digits) <= _MAX_DIGITS else math.inf
    if _FLOAT.fullmatch(plain):
        return float(plain)
    return float(text.replace(".", "")) if _SPECIAL.fullmatch(text) else text


class _Reader:
    """Builds one document out of events."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def document(self) -> Any:
        next(self._events)
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            raise UnreadableError("there is no document in it", "write the spec again")
        if getattr(start, "version", None) not in {None, (1, 1)}:
            self._refuse(start, "runtimes read YAML 1.1 only", "take the %YAML line out")
        tree = self._value(next(self._events), 0)
        next(self._events)
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            self._refuse(
                after, "a second document begins: runtimes ignore it", "give each spec its own file"
            )
        return tree

    def _value(self, event: yaml.Event, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            self._refuse(
                event, f"it is nested deeper than {_MAX_DEPTH} levels", "write the spec again"
            )
        before = self._nodes
        self._count(event, 1)
        match event:
            case yaml.AliasEvent():
                return self._alias(event)
            case yaml.ScalarEvent():
                value = self._scalar(event)
            case yaml.SequenceStartEvent():
                value = self._sequence(depth)
            case _:
                value = self._mapping(depth)
        if anchor := getattr(event, "anchor", None):
            self._anchors[anchor] = (value, self._nodes - before)
        return value

    def _count(self, event: yaml.Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > _MAX_NODES:
            self._refuse(
                event,
                f"it expands to more than {_MAX_NODES} values",
                "write them out or take aliases out",
            )

    def _alias(self, event: yaml.AliasEvent) -> Any:
        if event.anchor not in self._anchors:
            self._refuse(
                event,
                f"alias *{event.anchor} has no finished anchor",
                f"define &{event.anchor} before",
            )
        value, nodes = self._anchors[event.anchor]
        self._count(event, nodes)
        return value

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        event.value.encode()  # half a surrogate pair, which PyYAML without libyaml lets pass, fails here
        tag = event.tag.removeprefix(_CORE) if event.tag else ""
        if tag in {"str", "!"} or (not tag and not event.implicit[0]):
            return event.value
        if tag not in {"", "int", "float", "bool", "null"}:
            self._refuse(event, f"tag {event.tag} has no meaning in a spec", "take the tag out")
        return _resolve(event.value)

    def _sequence(self, depth: int) -> list[Any]:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return items

    def _mapping(self, depth: int) -> dict[Any, Any]:
        merged: dict[Any, Any] = {}
        own: dict[Any, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            is_merge = (
                isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
            )
            key = self._value(event, depth + 1)
            value = self._value(next(self._events), depth + 1)
            if is_merge:
                merged = {**self._sources(event, value), **merged}
            elif isinstance(key, (dict, list)):
                self._refuse(event, "a key is not a scalar", "use a name as key")
            elif key in own:
                self._refuse(event, f"key {key!r} is there twice", "keep one of them")
            else:
                own[key] = value
        for key in own.keys() & merged.keys():
            self._refuse(
                event, f"key {key!r} is there twice: merged by '<<' and given", "keep one of them"
            )
        return {**merged, **own}

    def _sources(self, event: yaml.Event, value: Any) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                self._refuse(
                    event, "'<<' merges something that is no mapping", "write the fields out"
                )
            result = {**source, **result}
        return result

    def _refuse(self, event: yaml.Event, message: str, remedy: str) -> NoReturn:
        line = event.start_mark.line + 1 if event.start_mark else 0
        raise UnreadableError(f"line {line}: {message}", remedy)
