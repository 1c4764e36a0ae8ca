"""How much of a long series a run of the tests goes through; tests that try something at every place of many use it.

A change is checked within minutes: of each series a sample, the same one each time. `PYDRA_THOROUGH=1` takes all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

THOROUGH = os.environ.get("PYDRA_THOROUGH") == "1"

T = TypeVar("T")


def sample(
    series: Iterable[T], *, of: int, turn: int = 0, kind: Callable[[T], Hashable] = lambda _: None
) -> list[T]:
    """Take one of `of`, in their order, and the first of each kind that this leaves out; or all of them.

    Tests that differ in `turn` alone take others: all turns from 0 to `of` - 1 together go through the whole series.
    """
    everything = list(series)
    if THOROUGH:
        return everything
    taken = {i for i in range(len(everything)) if i % of == turn % of}
    kinds = {kind(everything[i]) for i in taken}
    for i, one in enumerate(everything):
        if kind(one) not in kinds:
            kinds.add(kind(one))
            taken.add(i)
    return [everything[i] for i in sorted(taken)]
