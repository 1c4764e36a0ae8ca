"""What a GPU in MIG mode can be cut into, as devices of which the scheduler may take some together (KEP-4815).

Every profile at every placement is a device; each draws on one set of counters of its GPU. All numbers are NVML's.
What others made on the GPU is not in the counters, and what it is in the way of is no device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydra_nvidia.gpus import GpuInstance, MigProfile, Placement


@dataclass(frozen=True, slots=True)
class Partition:
    """A MIG device that can be made: of a profile, at a placement."""

    profile: MigProfile
    placement: Placement

    def is_at(self, one: GpuInstance) -> bool:
        """Whether that instance is this device, made."""
        return (one.profile_id, one.placement) == (self.profile.id, self.placement)


@dataclass(frozen=True, slots=True)
class Cut:
    """How one GPU is cut: what NVML offers, and the instances that are not ours to make and undo."""

    profiles: tuple[MigProfile, ...]
    foreign: tuple[GpuInstance, ...] = ()

    def counters(self) -> dict[str, int]:
        """What all devices together may take; nothing of what is left of nothing."""
        left = totals(self.profiles)
        for one in self.foreign:
            for name, amount in self._taken(one).items():
                left[name] = max(0, left.get(name, 0) - amount)
        return {name: amount for name, amount in left.items() if amount}

    def partitions(self) -> tuple[Partition, ...]:
        """The devices that can be made beside what others made, in order of preference.

        Small profiles first, so that a claim that says less gets less, and those with media engines behind the same
        without. Of one profile, first the placement that is in the way of the fewest others: a large device fits only
        where all is free.
        """
        left = self.counters()
        every = [Partition(p, place) for p in self.profiles for place in p.placements]
        free = [one for one in every if self._is_free(one, left)]
        return tuple(sorted(free, key=lambda one: _preference(one, every)))

    def consumption(self, partition: Partition) -> dict[str, int]:
        """What a device takes of the counters."""
        return consumption(partition.profile, partition.placement)

    def _is_free(self, one: Partition, left: Mapping[str, int]) -> bool:
        if any(overlap(one.placement, other.placement) for other in self.foreign):
            return False
        return all(left.get(name, 0) >= amount for name, amount in self.consumption(one).items())

    def _taken(self, one: GpuInstance) -> dict[str, int]:
        profile = next((p for p in self.profiles if p.id == one.profile_id), None)
        if profile is None:  # of a kind that NVML does not offer any more
            return _slices(one.placement)
        return consumption(profile, one.placement)


def totals(profiles: Sequence[MigProfile]) -> dict[str, int]:
    """A GPU's counters: of each thing what the largest profile has, named as upstream names them.

    Memory is what the most instances of one kind have together, if that is more: NVML rounds what each has, and the
    slices say what fits. Beyond upstream's there is `instances-<profile ID>` for a profile of which NVML allows fewer
    than have room.
    """
    found: dict[str, int] = {}
    for profile in profiles:
        for name, amount in _amounts(profile).items():
            found[name] = max(found.get(name, 0), amount)
        found["memory"] = max(found["memory"], profile.memory * profile.most)
        for place in profile.placements:
            found |= _slices(place)
        if _is_limited(profile):
            found[_limit(profile)] = profile.most
    return {name: amount for name, amount in found.items() if amount}


def consumption(profile: MigProfile, placement: Placement) -> dict[str, int]:
    """What an instance takes of the counters of its GPU."""
    taken = {name: amount for name, amount in _amounts(profile).items() if amount}
    taken |= _slices(placement)
    return taken | ({_limit(profile): 1} if _is_limited(profile) else {})


def overlap(one: Placement, other: Placement) -> bool:
    """Whether two placements have a slice in common."""
    return one.start < other.start + other.size and other.start < one.start + one.size


def _amounts(profile: MigProfile) -> dict[str, int]:
    return {
        "multiprocessors": profile.multiprocessors,
        "copy-engines": profile.copy_engines,
        "decoders": profile.decoders,
        "encoders": profile.encoders,
        "jpeg-engines": profile.jpeg_engines,
        "ofa-engines": profile.ofa_engines,
        "memory": profile.memory,
    }


def _slices(placement: Placement) -> dict[str, int]:
    numbers = range(placement.start, placement.start + placement.size)
    return {f"memory-slice-{number}": 1 for number in numbers}


def _limit(profile: MigProfile) -> str:
    return f"instances-{profile.id}"


def _is_limited(profile: MigProfile) -> bool:
    return profile.most < sum(1 for _ in _side_by_side(profile.placements))


def _side_by_side(placements: Iterable[Placement]) -> Iterator[Placement]:
    """As many placements as fit beside each other: always the one that ends first."""
    end = 0
    for place in sorted(placements, key=lambda p: p.start + p.size):
        if place.start >= end:
            yield place
            end = place.start + place.size


def _preference(one: Partition, every: Iterable[Partition]) -> tuple[int, ...]:
    profile, place = one.profile, one.placement
    in_the_way = sum(overlap(place, other.placement) for other in every)
    media = profile.decoders + profile.encoders + profile.jpeg_engines + profile.ofa_engines
    return place.size, profile.slices, media, profile.id, in_the_way, -place.start
