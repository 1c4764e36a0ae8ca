"""Values walked by their merge types: their fields, how two differ, what is left without some fields.

After sigs.k8s.io/structured-merge-diff `typed`; called by `managers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydra_testbed.api._apply.paths import (
    Path,
    Paths,
    children,
    keyed,
    name_in,
    named,
    valued,
)
from pydra_testbed.api._apply.types import Leaf, ListType, MapType, MergeType, resolved


class _Absent:
    """No value at all, which is not the same as null."""


ABSENT: Final = _Absent()


def step_of(shape: ListType, item: Any) -> str:
    """The step to an entry of a list that is no single value."""
    if shape.unique or not isinstance(item, dict):
        return valued(item)
    known = {name: item.get(name, shape.defaults.get(name)) for name in shape.keys}
    return keyed({name: value for name, value in known.items() if value is not None})


def entries(shape: ListType, items: list[Any]) -> dict[str, Any]:
    """A list's entries by their steps; of entries with the same keys the first."""
    found: dict[str, Any] = {}
    for item in items:
        found.setdefault(step_of(shape, item), item)
    return found


def fields_of(value: Any, shape: MergeType, at: Path = ()) -> Iterator[Path]:
    """The fields a value sets."""
    kind = resolved(shape, value)
    if isinstance(kind, Leaf) or kind.atomic:
        yield at
    elif isinstance(kind, ListType):
        for step, item in entries(kind, value or []).items():
            yield (*at, step)
            yield from (path for path in fields_of(item, kind.item, (*at, step)) if path != at)
    else:
        for key, child in (value or {}).items():
            yield from _fields_of_key(kind, key, child, at)


def _fields_of_key(kind: MapType, key: str, child: Any, at: Path) -> Iterator[Path]:
    here = (*at, named(key))
    yield from fields_of(child, kind.of(key) or Leaf.ANY, here)
    if child is None or child == {} or not kind.is_named(key):
        yield here


@dataclass(frozen=True, slots=True)
class Difference:
    """How a value became another."""

    added: Paths
    modified: Paths
    removed: Paths

    @property
    def everything(self) -> Paths:
        return self.added | self.modified | self.removed


def difference(old: Any, new: Any, shape: MergeType) -> Difference:
    """What was added, modified and removed on the way from one value to another."""
    found: dict[str, set[Path]] = {"added": set(), "modified": set(), "removed": set()}
    for what, path in _changes(old, new, shape, ()):
        found[what].add(path)
    return Difference(*(frozenset(found[what]) for what in ("added", "modified", "removed")))


def _changes(old: Any, new: Any, shape: MergeType, at: Path) -> Iterator[tuple[str, Path]]:
    if old is ABSENT:
        yield "added", at
    elif new is ABSENT:
        yield "removed", at
    elif old == new and type(old) is type(new):
        return
    before, after = _present(old), _present(new)
    kind = resolved(shape, before, after)
    if isinstance(kind, Leaf) or kind.atomic or (not before and not after):
        if ABSENT not in (old, new):
            yield "modified", at
    elif isinstance(kind, MapType):
        left, right = _as_map(before), _as_map(after)
        for key in left | right:
            child = kind.of(key) or Leaf.ANY
            yield from _changes(
                left.get(key, ABSENT), right.get(key, ABSENT), child, (*at, named(key))
            )
    else:
        left, right = _as_entries(kind, before), _as_entries(kind, after)
        for step in left | right:
            yield from _changes(
                left.get(step, ABSENT), right.get(step, ABSENT), kind.item, (*at, step)
            )


def _present(value: Any) -> Any:
    return None if value is ABSENT else value


def _as_map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_entries(kind: ListType, value: Any) -> dict[str, Any]:
    return entries(kind, value) if isinstance(value, list) else {}


def without(value: Any, shape: MergeType, gone: Paths) -> Any:
    """The value with some fields taken out; does not change `value`."""
    kind = resolved(shape, value)
    if not gone or not value or isinstance(kind, Leaf) or kind.atomic:
        return value
    if isinstance(kind, MapType):
        return {
            key: without(child, kind.of(key) or Leaf.ANY, children(gone, named(key)))
            for key, child in value.items()
            if (named(key),) not in gone
        }
    kept = ((step_of(kind, item), item) for item in value)
    return [
        without(item, kind.item, children(gone, step)) for step, item in kept if (step,) not in gone
    ]


def with_holders(paths: Paths, shape: MergeType) -> Paths:
    """The set with every struct field that holds a member; map and list entries stay as they are."""
    found = set(paths)
    for path in paths:
        kind: MergeType = shape
        for index, step in enumerate(path[:-1]):
            kind, is_field = _descend(kind, step)
            if is_field:
                found.add(path[: index + 1])
    return frozenset(found)


def _descend(shape: MergeType, step: str) -> tuple[MergeType, bool]:
    name = name_in(step)
    if name is None:
        kind = resolved(shape, [])
        return (kind.item if isinstance(kind, ListType) else Leaf.ANY), False
    kind = resolved(shape, {})
    if not isinstance(kind, MapType):
        return Leaf.ANY, False
    return kind.of(name) or Leaf.ANY, kind.is_named(name)
