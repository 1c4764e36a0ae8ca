"""Lists and maps with limits: the size first, then each entry, then duplicates."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

from pydra_testbed.api._causes import Causes, duplicate, too_many

Check: TypeAlias = Callable[[str, Any], Causes]
"""Judges one value found at a field path."""

_KEY_SHOWN = 96


def each(field: str, items: Sequence[Any] | None, limit: int, check: Check) -> Causes:
    """Every entry, unless there are more than `limit` of them (negative: no limit)."""
    items = items or ()
    if 0 <= limit < len(items):
        return [too_many(field, len(items), limit)]
    found: Causes = []
    for index, item in enumerate(items):
        found += check(f"{field}[{index}]", item)
    return found


def unique(
    field: str,
    items: Sequence[Any] | None,
    limit: int,
    check: Check,
    key: Callable[[Any], Hashable] = lambda item: item,
) -> Causes:
    """Every entry, and no two with the same key."""
    items = items or ()
    found = each(field, items, limit, check)
    if 0 <= limit < len(items):
        return found
    return found + repeated(field, [key(item) for item in items])


def repeated(
    field: str, keys: Sequence[Any], shown: Callable[[Any], Any] = lambda key: key
) -> Causes:
    """One cause for each key that occurred before; `shown` is how the text presents a key."""
    seen: set[Hashable] = set()
    found: Causes = []
    for index, key in enumerate(keys):
        if key in seen:
            found.append(duplicate(f"{field}[{index}]", shown(key)))
        seen.add(key)
    return found


def entries(
    field: str,
    mapping: Mapping[str, Any] | None,
    check_key: Callable[[str, str], Causes],
    check: Check,
    limit: int = -1,
) -> Causes:
    """Every key (judged at the map's own path) and every value (at `field[key]`)."""
    mapping = mapping or {}
    if 0 <= limit < len(mapping):
        return [too_many(field, len(mapping), limit)]
    found: Causes = []
    for key, value in mapping.items():
        found += check_key(field, key)
        found += check(f"{field}[{_shortened(key)}]", value)
    return found


def fine(_field: str, _value: Any) -> Causes:
    """Anything goes."""
    return []


def _shortened(key: str) -> str:
    """Long keys lose their middle in field paths."""
    if len(key) <= _KEY_SHOWN:
        return key
    kept = _KEY_SHOWN - 3
    return f"{key[: (kept + 1) // 2]}...{key[len(key) - kept // 2 :]}"
