"""Does an applied configuration fit the kind's merge types? Complaints in structured-merge-diff's words.

Go's own way to print a value is part of those words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydra_testbed.api._apply.paths import Path, entry_shown, indexed, named, shown
from pydra_testbed.api._apply.typed import step_of
from pydra_testbed.api._apply.types import Leaf, ListType, MapType, MergeType, resolved

_GO_TYPES = {str: "string", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}


def complaints(value: Any, shape: MergeType) -> tuple[str, ...]:
    """What is wrong, path first; empty when all is well."""
    return tuple(_complaints(value, shape, ()))


def _complaints(value: Any, shape: MergeType, at: Path) -> Iterator[str]:
    if value is None:
        return
    kind = resolved(shape, value)
    if isinstance(kind, Leaf):
        problem = _scalar(value, kind)
        if problem:
            yield _line(at, problem)
    elif isinstance(kind, MapType):
        yield from _map(value, kind, at)
    else:
        yield from _list(value, kind, at)


def _line(at: Path, problem: str) -> str:
    return f"{shown(at)}: {problem}" if at else problem


def _scalar(value: Any, kind: Leaf) -> str:
    scalar = isinstance(value, str | int | float)
    if kind is Leaf.STRING and not isinstance(value, str):
        return f"expected string, got &value.valueUnstructured{{Value:{_go(value, quote=True)}}}"
    if kind is Leaf.BOOLEAN and not isinstance(value, bool):
        return f"expected boolean, got &{{{_go(value)}}}"
    if kind is Leaf.NUMERIC and (isinstance(value, bool) or not isinstance(value, int | float)):
        return f"expected numeric (int or float), got {_GO_TYPES[type(value)]}"
    if kind is Leaf.ANY and not scalar:
        return f"expected any scalar, got &{{{_go(value)}}}"
    return ""


def _map(value: Any, kind: MapType, at: Path) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _line(at, f"expected map, got &{{{_go(value)}}}")
        return
    for key, child in value.items():
        below = kind.of(key)
        here = (*at, named(key))
        if below is None:
            yield _line(here, "field not declared in schema")
        else:
            yield from _complaints(child, below, here)


def _list(value: Any, kind: ListType, at: Path) -> Iterator[str]:
    if not isinstance(value, list):
        yield _line(at, f"expected list, got &{{{_go(value)}}}")
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        problem = "" if kind.atomic else _entry(kind, index, item) or _again(kind, item, seen)
        if problem:
            yield _line(at, problem)
        else:
            yield from _complaints(item, kind.item, (*at, _step(kind, index, item)))


def _step(kind: ListType, index: int, item: Any) -> str:
    return indexed(index) if kind.atomic else step_of(kind, item)


def _entry(kind: ListType, index: int, item: Any) -> str:
    where = f"element {index}: associative list"
    if item is None:
        return f"{where} with keys may not have nulls"
    if kind.keys and not isinstance(item, dict):
        return f"{where} with keys may not have non-map elements"
    if kind.keys and not any(key in item or key in kind.defaults for key in kind.keys):
        names = " ".join(f'"{key}"' for key in kind.keys)
        return (
            f"{where} with keys has an element that omits all key fields [{names}] "
            "(and doesn't have default values for any key fields)"
        )
    return ""


def _again(kind: ListType, item: Any, seen: set[str]) -> str:
    step = step_of(kind, item)
    if step in seen:
        text = step[2:]
        known = entry_shown(json.loads(text)) if kind.keys else f"={text}"
        return f"duplicate entries for key [{known}]"
    seen.add(step)
    return ""


def _go(value: Any, *, quote: bool = False) -> str:
    """A value as Go's %v (with `quote` %#v) prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        prefix = f"{_GO_TYPES[dict]}{{" if quote else "map["
        inner = (", " if quote else " ").join(
            f"{json.dumps(key) if quote else key}:{_go(child, quote=quote)}"
            for key, child in sorted(value.items())
        )
        return f"{prefix}{inner}{'}' if quote else ']'}"
    if isinstance(value, list):
        inner = (", " if quote else " ").join(_go(child, quote=quote) for child in value)
        return f"{_GO_TYPES[list]}{{{inner}}}" if quote else f"[{inner}]"
    return json.dumps(value) if quote else str(value)
