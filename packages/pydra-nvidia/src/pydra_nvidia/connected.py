"""Which GPUs belong together: the best connected ones of those that are free, and what they leave to others.

`preferring` asks for pods that want a number of GPUs and cannot say which. Pure and the same each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

from pydra_nvidia.gpus import Ancestor, Gpu, Snapshot
from pydra_nvidia.links import Links, nvlinks

_MOST_SETS = 5000
"""Sets that are all looked at, which is every one of up to twelve GPUs; of more some are grown and mended."""
_ROOM = 24  # bits: sums over all pairs of a node stay far below


@dataclass(frozen=True, slots=True)
class Wiring:
    """How well pairs of a node's GPUs are connected.

    A pair's weight is one number of three: whether NVLinks join it, how many do, and how near it is by PCIe. Sums of
    weights compare as the three sums do, the first difference deciding. That they are joined comes first, for a ring
    is as slow as its slowest piece: three GPUs with one link on each side outrun two pairs with four that share a GPU.
    """

    gpus: tuple[Gpu, ...]
    links: Links
    ancestors: Sequence[Sequence[int | None]]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Wiring:
        """As NVML tells it now."""
        return cls(snapshot.gpus, nvlinks(snapshot.gpus), snapshot.ancestors)

    def weight(self, one: Gpu, other: Gpu) -> int:
        """Of a pair; of a GPU with itself it is 0."""
        if one.index == other.index:
            return 0
        links = self.links.get(frozenset((one.index, other.index)), 0)
        joined = (int(links > 0) << _ROOM) + links
        return (joined << _ROOM) + self._nearness(one, other)

    def _nearness(self, one: Gpu, other: Gpu) -> int:
        """0 through the link between processors, more the sooner the ways meet."""
        try:
            level = self.ancestors[one.index][other.index]
        except IndexError:
            level = None
        return Ancestor.SYS - (_by_place(one, other) if level is None else level)


def best_connected(
    wiring: Wiring, free: Sequence[Gpu], must: Sequence[Gpu], size: int
) -> tuple[Gpu, ...]:
    """The GPUs to take: `must` and as many of `free` as are missing to `size`, or all there are.

    Of the sets with the greatest weight the one that leaves the greatest weight to others: so what is small already is
    used up first, and large groups stay whole. Of equals the first in the order of `free`.
    """
    search = _Search(wiring, (*must, *free), len(must))
    more = min(max(size - len(must), 0), len(free))
    few = comb(len(free), more) <= _MOST_SETS
    found = search.best(search.every(more) if few else search.grown(more))
    return tuple(search.gpus[place] for place in found)


class _Search:
    """One question: places in a list of GPUs, the first of which have to be in every set."""

    def __init__(self, wiring: Wiring, gpus: Sequence[Gpu], must: int) -> None:
        self.gpus = gpus
        self._must = tuple(range(must))
        self._free = tuple(range(must, len(gpus)))
        self._weight = [[wiring.weight(one, other) for other in gpus] for one in gpus]
        self._rows = [sum(row) for row in self._weight]
        self._all = sum(self._rows) // 2

    def best(self, sets: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
        """The first of the sets of which none is better."""
        return max(sets, key=self._worth)

    def every(self, more: int) -> Iterator[tuple[int, ...]]:
        """All sets, those with the first places first."""
        return ((*self._must, *added) for added in combinations(self._free, more))

    def grown(self, more: int) -> Iterator[tuple[int, ...]]:
        """For each GPU, what comes of taking it and always the best next one, and then changing single ones."""
        for start in self._free:
            chosen = [*self._must, start]
            while len(chosen) < len(self._must) + more:
                open_ = (place for place in self._free if place not in chosen)
                chosen.append(max(open_, key=lambda place: self._gain(chosen, place)))
            self._mend(chosen)
            yield tuple(sorted(chosen))

    def _mend(self, chosen: list[int]) -> None:
        """Change one for another as long as that makes it better; each time it does, so it ends."""
        while True:
            ties = [self._tie(chosen, place) for place in range(len(self.gpus))]
            open_ = [place for place in self._free if place not in chosen]
            changes = ((at, new) for at in range(len(self._must), len(chosen)) for new in open_)
            gains = ((self._change(ties, chosen[at], new), -at, -new) for at, new in changes)
            gain, at, new = max(gains, default=((0, 0), 0, 0))
            if gain <= (0, 0):
                return
            chosen[-at] = -new

    def _worth(self, chosen: Sequence[int]) -> tuple[int, int]:
        """What is connected among them, and among those that stay: all but what has an end in the set."""
        inside = sum(self._weight[one][other] for one, other in combinations(chosen, 2))
        return inside, self._all - sum(self._rows[place] for place in chosen) + inside

    def _gain(self, chosen: Sequence[int], place: int) -> tuple[int, int]:
        """How much the worth grows with one more, of which as much is lost to others as it has connections."""
        return self._tie(chosen, place), -self._rows[place]

    def _change(self, ties: Sequence[int], old: int, new: int) -> tuple[int, int]:
        """How much the worth grows with another one in the place of one."""
        return ties[new] - ties[old] - self._weight[old][new], self._rows[old] - self._rows[new]

    def _tie(self, chosen: Sequence[int], place: int) -> int:
        return sum(self._weight[place][other] for other in chosen)


def _by_place(one: Gpu, other: Gpu) -> Ancestor:
    """Where NVML does not tell how a pair meets, sysfs has an idea."""
    if one.pcie_root is not None and one.pcie_root == other.pcie_root:
        return Ancestor.PHB
    same = one.numa_node is not None and one.numa_node == other.numa_node
    return Ancestor.NODE if same else Ancestor.SYS
