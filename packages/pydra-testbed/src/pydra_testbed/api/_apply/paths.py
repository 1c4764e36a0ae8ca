"""Paths to fields, sets of them, and their form on the wire (`FieldsV1`).

A step is written as in FieldsV1: `f:<name>`, `k:<keys as JSON>`, `v:<value as JSON>`. Sets are plain frozen
sets, so that the arithmetic of ownership reads as arithmetic.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]
Paths: TypeAlias = frozenset[Path]
NONE: Paths = frozenset()


def named(name: str) -> str:
    """The step to a field or map key."""
    return f"f:{name}"


def keyed(keys: Mapping[str, Any]) -> str:
    """The step to a list entry that is known by some of its fields."""
    return f"k:{_compact(dict(sorted(keys.items())))}"


def valued(value: Any) -> str:
    """The step to a list entry that is known by itself."""
    return f"v:{_compact(value)}"


def indexed(index: int) -> str:
    """The step to an entry of a list that is one value; in complaints only."""
    return f"i:{index}"


def name_in(step: str) -> str | None:
    """The field's name; None for a step into a list."""
    return step[2:] if step.startswith("f:") else None


def to_fields(paths: Iterable[Path]) -> dict[str, Any]:
    """The set as a `fieldsV1` object; a member that has members below it is marked by `.`."""
    root: dict[str, Any] = {}
    members = sorted(paths)
    for path in members:
        _node(root, path)
    for path in members:
        node = _node(root, path)
        if node:
            node["."] = {}
    return root


def _node(root: dict[str, Any], path: Path) -> dict[str, Any]:
    for step in path:
        root = root.setdefault(step, {})
    return root


def from_fields(fields: Mapping[str, Any], prefix: Path = ()) -> Iterator[Path]:
    """The paths in a `fieldsV1` object."""
    for step, below in fields.items():
        if step == ".":
            yield prefix
        elif below:
            yield from from_fields(below, (*prefix, step))
        else:
            yield (*prefix, step)


def children(paths: Paths, step: str) -> Paths:
    """What lies below a step, as seen from there."""
    return frozenset(path[1:] for path in paths if len(path) > 1 and path[0] == step)


def ordered(paths: Iterable[Path]) -> list[Path]:
    """The order in which Kubernetes walks a set: members of a level before what lies deeper."""
    return sorted(paths, key=_rank)


def _rank(path: Path) -> list[tuple[int, str]]:
    return [(int(index < len(path) - 1), step) for index, step in enumerate(path)]


def shown(path: Path) -> str:
    """`.spec.env[name="A"].value`, as conflicts name a field."""
    return "".join(_step_shown(step) for step in path)


def _step_shown(step: str) -> str:
    kind, text = step[:2], step[2:]
    if kind == "f:":
        return f".{text}"
    if kind in {"v:", "i:"}:
        return f"[={text}]" if kind == "v:" else f"[{text}]"
    return f"[{entry_shown(json.loads(text))}]"


def entry_shown(keys: Mapping[str, Any]) -> str:
    """`name="A",protocol="TCP"`."""
    return ",".join(f"{name}={_compact(value)}" for name, value in keys.items())


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
