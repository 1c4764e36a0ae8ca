"""Which of the free devices a pod gets that asked for a number of `nvidia.com/gpu` and cannot say which.

The kubelet asks before it allocates (GetPreferredAllocation); `NvidiaDriver.prefer` calls. GPUs come well connected,
MIG devices from the GPU that is fullest, shares from the GPU of which most is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeAlias

from pydra_core.resources import Resource
from pydra_nvidia.connected import Wiring, best_connected
from pydra_nvidia.gpus import Gpu, Snapshot
from pydra_nvidia.parts import Part
from pydra_nvidia.resources import GPU, SHARED

_Gpus: TypeAlias = Mapping[str, Gpu]
"""The GPU that each ID of a resource is on; those of GPUs that are gone are missing."""


def preferred(
    resource: Resource,
    snapshot: Snapshot,
    parts: Mapping[str, Part],
    available: Sequence[str],
    must: Sequence[str],
    size: int,
) -> list[str]:
    """The IDs to take: all of `must`, and of `available` as many as are missing to `size`, or all there are.

    The order of `available` does not matter. What is not known any more is taken last.

    Args:
        resource: which.
        snapshot: of the node's GPUs.
        parts: the node's devices by name.
        available: IDs that are free; the kubelet counts `must` among them.
        must: IDs that the container is to have, as those its init containers had.
        size: how many it gets.
    """
    gpus = {one.id: parts[n].gpu for one in resource.devices for n in one.devices if n in parts}
    held, open_ = list(dict.fromkeys(must)), {*available} - {*must}
    free = [one.id for one in resource.devices if one.id in open_ and one.id in gpus]
    missing = max(size - len(held), 0)
    if resource.name == GPU:
        chosen = _connected(Wiring.of(snapshot), gpus, held, free, missing)
    elif resource.name == SHARED:
        chosen = _spread(gpus, held, free, missing)
    else:
        chosen = _packed(gpus, free, missing)
    others = sorted(open_ - {*chosen})
    return [*held, *chosen, *others[: missing - len(chosen)]]


def _connected(
    wiring: Wiring, gpus: _Gpus, held: Sequence[str], free: Sequence[str], missing: int
) -> list[str]:
    inside = [gpus[one] for one in held if one in gpus]
    taken = best_connected(wiring, [gpus[one] for one in free], inside, len(inside) + missing)
    indices = {gpu.index for gpu in taken}
    return [one for one in free if gpus[one].index in indices]


def _spread(gpus: _Gpus, held: Sequence[str], free: Sequence[str], missing: int) -> list[str]:
    """Shares one by one, from the GPU of which this container has the fewest, and of those the one with most left."""
    has = Counter(gpus[one].index for one in held if one in gpus)
    left: dict[int, list[str]] = {}
    for one in free:
        left.setdefault(gpus[one].index, []).append(one)
    chosen: list[str] = []
    while left and len(chosen) < missing:
        gpu = min(left, key=lambda index: (has[index], -len(left[index])))
        chosen.append(left[gpu].pop(0))
        has[gpu] += 1
        if not left[gpu]:
            del left[gpu]
    return chosen


def _packed(gpus: _Gpus, free: Sequence[str], missing: int) -> list[str]:
    """MIG devices one by one, from the GPU with the smallest part of its devices of this profile free.

    A GPU that stays empty can be cut anew, or be taken out of service, without waiting for anybody.
    """
    all_ = Counter(gpu.index for gpu in gpus.values())
    left = Counter(gpus[one].index for one in free)
    open_, chosen = list(free), list[str]()

    def fullness(one: str) -> tuple[Fraction, int]:
        index = gpus[one].index
        return Fraction(left[index], all_[index]), left[index]

    while open_ and len(chosen) < missing:
        chosen.append(min(open_, key=fullness))
        open_.remove(chosen[-1])
        left[gpus[chosen[-1]].index] -= 1
    return chosen
