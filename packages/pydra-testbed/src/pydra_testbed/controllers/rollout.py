"""How far a rollout may go now: sizes of a Deployment's ReplicaSets, and percentages of pods. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replicas:
    """One ReplicaSet: how many it is asked for, and how many of its pods are available."""

    name: str
    wanted: int
    available: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How many pods more than `desired` may exist, and how many fewer may be available."""

    desired: int
    surge: int
    unavailable: int


def amount(value: int | str, total: int, *, up: bool) -> int:
    """A number, or a percentage of `total` rounded up or down."""
    text = str(value)
    if not text.endswith("%"):
        return int(text)
    exact = int(text.removesuffix("%")) * total / 100
    return math.ceil(exact) if up else math.floor(exact)


def limits(desired: int, surge: int | str, unavailable: int | str) -> Limits:
    """Both zero would stop every rollout: then one pod may be missing."""
    more = amount(surge, desired, up=True)
    fewer = amount(unavailable, desired, up=False)
    return Limits(desired, more, 1 if more == 0 and fewer == 0 else fewer)


def roll(new: Replicas, old: Sequence[Replicas], bounds: Limits) -> dict[str, int]:
    """The sizes to ask for next, of ReplicaSets whose size changes."""
    total = new.wanted + sum(each.wanted for each in old)
    room = bounds.desired + bounds.surge - total
    grown = min(bounds.desired, new.wanted + max(room, 0))
    if new.wanted > bounds.desired:
        grown = bounds.desired
    if grown != new.wanted:
        return {new.name: grown}
    return _shrink(new, old, bounds, total)


def _shrink(new: Replicas, old: Sequence[Replicas], bounds: Limits, total: int) -> dict[str, int]:
    """Pods that are not available first, then as many available ones as may be missing."""
    least = bounds.desired - bounds.unavailable
    spare = total - least - (new.wanted - new.available)
    if spare <= 0:
        return {}
    sizes = {each.name: each.wanted for each in old}
    for each in old:
        broken = min(max(spare, 0), each.wanted - each.available)
        if broken > 0:
            sizes[each.name] -= broken
            spare -= broken
    available = new.available + sum(each.available for each in old)
    surplus = available - least
    for each in old:
        gone = min(max(surplus, 0), sizes[each.name])
        sizes[each.name] -= gone
        surplus -= gone
    return {each.name: sizes[each.name] for each in old if sizes[each.name] != each.wanted}
