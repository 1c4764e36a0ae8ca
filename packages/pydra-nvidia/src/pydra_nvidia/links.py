"""Which GPUs are well connected: groups of one node's GPUs, so that a claim can ask for one by `matchAttribute`.

A group is what CEL and `matchAttribute` can compare: a word that its GPUs share. Groups never overlap, and each
pair in an NVLink group is linked; where the hardware is no full mesh (DGX-1) that is a choice, made the same way
each time: the largest groups first, then the most links, then the lowest minor numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from pydra_nvidia.gpus import Ancestor, Gpu, Snapshot

Links = dict[frozenset[int], int]
"""Active NVLinks between pairs of GPUs, by index."""

_MOST = 16
"""GPUs among which groups are searched exhaustively: no board has more that are not behind NVSwitches."""


def nvlink_groups(snapshot: Snapshot) -> tuple[tuple[int, ...], ...]:
    """GPUs of which each is linked to each other by NVLink, by index; alone standing ones are in none.

    Nor are partitioned ones: MIG devices reach no peers.
    """
    links = nvlinks(snapshot.gpus)
    free = [gpu.index for gpu in snapshot.gpus if not gpu.partitioned]
    groups = []
    while group := _largest(free, links):
        groups.append(group)
        free = [index for index in free if index not in group]
    return tuple(groups)


def pcie_groups(snapshot: Snapshot) -> tuple[tuple[int, ...], ...]:
    """GPUs that reach each other through PCIe switches, not through the processor, by index; no partitioned ones."""
    ancestors, groups = snapshot.ancestors, []
    free = [gpu.index for gpu in snapshot.gpus if not gpu.partitioned]
    while free:
        first, *others = free
        near = [other for other in others if _near(ancestors, first, other)]
        if near:
            groups.append((first, *near))
        free = [other for other in others if other not in near]
    return tuple(groups)


def nvlinks(gpus: Sequence[Gpu]) -> Links:
    """How many active NVLinks join each pair: direct ones, or those that both have into NVSwitches.

    Behind switches every GPU reaches every other with all of its links.
    """
    by_bus = {gpu.bus_id: gpu.index for gpu in gpus if gpu.bus_id}
    switched = {gpu.index: sum(_switched(gpu)) for gpu in gpus}
    links: Links = {}
    for gpu in gpus:
        for link in gpu.links:
            peer = by_bus.get(link.remote_bus_id or "") if link.remote == "gpu" else None
            if link.active and peer is not None and gpu.index < peer:
                pair = frozenset((gpu.index, peer))
                links[pair] = links.get(pair, 0) + 1
    for one, other in combinations((gpu.index for gpu in gpus), 2):
        if both := min(switched[one], switched[other]):
            pair = frozenset((one, other))
            links[pair] = links.get(pair, 0) + both
    return links


def with_links_down(snapshot: Snapshot, seen: Mapping[str, frozenset[int]]) -> frozenset[int]:
    """The GPUs, by index, of which an NVLink is down.

    A link that never worked may not be in use. So it is down if it worked before; and behind NVSwitches, where all
    GPUs of a kind have equally many, if a GPU has fewer than another.

    Args:
        snapshot: of now.
        seen: links that worked earlier, by bus ID (`links_seen`).
    """
    most: dict[str | None, int] = {}
    for gpu in snapshot.gpus:
        most[gpu.name] = max(most.get(gpu.name, 0), sum(_switched(gpu)))
    return frozenset(
        gpu.index
        for gpu in snapshot.gpus
        if seen.get(gpu.bus_id or "", frozenset()) - _active(gpu)
        or 0 < sum(_switched(gpu)) < most[gpu.name]
    )


def links_seen(
    snapshot: Snapshot, before: Mapping[str, frozenset[int]]
) -> dict[str, frozenset[int]]:
    """The links that work or worked, by bus ID of their GPU."""
    now = {gpu.bus_id: _active(gpu) for gpu in snapshot.gpus if gpu.bus_id and not gpu.lost}
    return {**before, **{bus: links | before.get(bus, frozenset()) for bus, links in now.items()}}


def _active(gpu: Gpu) -> frozenset[int]:
    return frozenset(link.link for link in gpu.links if link.active)


def _switched(gpu: Gpu) -> Iterator[bool]:
    return (link.active and link.remote == "switch" for link in gpu.links)


def _largest(free: Sequence[int], links: Links) -> tuple[int, ...]:
    """The largest set of GPUs that are linked pair by pair; of equals the one with most links, then lowest indices."""
    near = {i: frozenset(j for j in free if frozenset((i, j)) in links) for i in free}
    meshes = _meshes(near) if len(free) <= _MOST else _components(near)
    best = max(
        meshes, key=lambda mesh: (len(mesh), _strength(mesh, links), [-i for i in mesh]), default=()
    )
    return best if len(best) > 1 else ()


def _meshes(near: dict[int, frozenset[int]]) -> Iterator[tuple[int, ...]]:
    """All maximal sets of which each member is near each other (Bron and Kerbosch)."""

    def grow(
        mesh: frozenset[int], open_: frozenset[int], shut: frozenset[int]
    ) -> Iterator[tuple[int, ...]]:
        if not open_ and not shut:
            yield tuple(sorted(mesh))
        for index in sorted(open_):
            yield from grow(mesh | {index}, open_ & near[index], shut & near[index])
            open_, shut = open_ - {index}, shut | {index}

    yield from grow(frozenset(), frozenset(near), frozenset())


def _components(near: dict[int, frozenset[int]]) -> Iterator[tuple[int, ...]]:
    """Sets that share all neighbours: behind NVSwitches that is what a mesh is, and cheap for any number."""
    for index, others in near.items():
        mesh = {index, *others}
        if all(near[other] | {other} == mesh for other in others):
            yield tuple(sorted(mesh))


def _strength(mesh: Iterable[int], links: Links) -> int:
    return sum(links[frozenset(pair)] for pair in combinations(mesh, 2))


def _near(ancestors: Sequence[Sequence[int | None]], one: int, other: int) -> bool:
    try:
        level = ancestors[one][other]
    except IndexError:
        return False
    return level is not None and level <= Ancestor.PXB
