"""Kubernetes' list functions, and the texts they fail with."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

NO_OVERLOAD = "no such overload"
_MOST_INCLUDED = 48


def _list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    raise TypeError(NO_OVERLOAD)


def total(value: Any) -> Any:
    """`sum()`: of an empty list it is 0."""
    return sum(_list(value))


def is_sorted(value: Any) -> bool:
    """`isSorted()`: no item is smaller than the one before."""
    return all(a <= b for a, b in pairwise(_list(value)))


def extreme(name: str, choose: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    """`min()` or `max()`."""

    def pick(value: Any) -> Any:
        items = _list(value)
        if not items:
            raise ValueError(f"{name} called on empty list")
        return choose(items)

    return pick


def index_of(value: Any, item: Any) -> int:
    """Position of the first equal item, -1 without one."""
    return next((i for i, other in enumerate(_list(value)) if _same(other, item)), -1)


def last_index_of(value: Any, item: Any) -> int:
    """Position of the last equal item, -1 without one."""
    items = _list(value)
    return next((i for i in reversed(range(len(items))) if _same(items[i], item)), -1)


def includes(value: Any, item: Any) -> bool:
    """Whether a list has the item; any other value is taken as a list of one."""
    items = value if isinstance(value, list) else [value]
    if any(_same(other, item) for other in items[:_MOST_INCLUDED]):
        return True
    if len(items) > _MOST_INCLUDED:
        raise ValueError(
            f"'includes' function cannot be applied to lists longer than {_MOST_INCLUDED} values"
        )
    return False


def _same(left: Any, right: Any) -> bool:
    # Python takes True for 1; CEL does not.
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
