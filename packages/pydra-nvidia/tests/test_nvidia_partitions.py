"""Counters and order of MIG devices that are made for claims, over every table: what may be taken can be made."""

from __future__ import annotations

import ctypes
import itertools
import json
from pathlib import Path

import pynvml
import pytest
from nvidia_hosts import bound, fake_host, handle

import pydra_nvidia_fake
from pydra_nvidia.gpus import GpuInstance, MigProfile, Placement
from pydra_nvidia.names import Place, place_name
from pydra_nvidia.partitions import Cut, Partition

__all__ = ["bound", "fake_host"]

TABLES = json.loads((Path(pydra_nvidia_fake.__file__).parent / "tables/mig.json").read_text())
HOSTS = {
    "A100-SXM4-40GB": "a100-40x8",
    "A100-SXM4-80GB": "a100-80x8",
    "H100-SXM5-80GB": "h100x8",
    "H200-SXM5-141GB": "h200x8",
    "B200-180GB": "b200x8",
    "A30-24GB": "a30x1",
}
MIB = 1 << 20


def profile(row):
    return MigProfile(
        id=row["id"],
        name=row["name"],
        slices=row["slices"],
        most=row["most"],
        memory=row["memory_mib"] * MIB,
        multiprocessors=row["sm"],
        copy_engines=row["ce"],
        decoders=row["dec"],
        encoders=row["enc"],
        jpeg_engines=row["jpg"],
        ofa_engines=row["ofa"],
        placements=tuple(Placement(start=s, size=row["size"]) for s in row["starts"]),
    )


def cut_of(table):
    return Cut(tuple(profile(row) for row in TABLES[table]["profiles"]))


class Counters:
    """A GPU's counters while devices are taken, as a scheduler keeps them."""

    def __init__(self, cut):
        self.cut = cut
        self.left = cut.counters()

    def has_room(self, device):
        taken = self.cut.consumption(device)
        return all(self.left[name] >= amount for name, amount in taken.items())

    def take(self, device, sign=1):
        for name, amount in self.cut.consumption(device).items():
            self.left[name] -= sign * amount


def sets(cut, devices):
    """Every set of devices that the counters allow at once, each once, with the counters as they are then."""
    counters = Counters(cut)

    def more(chosen, first):
        yield chosen, counters
        for number in range(first, len(devices)):
            if counters.has_room(devices[number]):
                counters.take(devices[number])
                yield from more([*chosen, devices[number]], number + 1)
                counters.take(devices[number], -1)

    yield from more([], 0)


@pytest.mark.parametrize("table", TABLES)
def test_what_the_counters_allow_is_exactly_what_can_be_made(bound, table):
    """All sets of devices of a GPU, and for each of them every further device."""
    assert_exact(bound, table, ())


@pytest.mark.parametrize("number", [0, 1, 3, 5])
def test_beside_what_somebody_else_made_the_counters_allow_the_rest(bound, number):
    for table in ("A100-SXM4-40GB", "A30-24GB"):
        there = profile(TABLES[table]["profiles"][number % len(TABLES[table]["profiles"])])
        assert_exact(bound, table, [Partition(there, there.placements[-1])])


def assert_exact(bound, table, foreign):
    host = bound(HOSTS[table])
    host.state.proc = b""  # the kernel shows nothing: files would take most of the time
    gpu, state = handle(), host.gpus[0].state
    state.mig_current = state.mig_pending = 1
    instances = (
        GpuInstance(id=n, profile_id=one.profile.id, placement=one.placement)
        for n, one in enumerate(foreign)
    )
    every, cut = cut_of(table).partitions(), Cut(cut_of(table).profiles, tuple(instances))
    devices = cut.partitions()
    for chosen, counters in sets(cut, devices):
        show(state, [*foreign, *chosen])
        for device in every:
            made = can_make(gpu, device)
            assert made == (device in devices and counters.has_room(device)), (chosen, device)


def show(state, chosen):
    """Let the stub have just these instances."""
    numbers = {state.profiles[i].id: i for i in range(state.n_profiles)}
    for slot, one in enumerate(state.instances):
        one.used = slot < len(chosen)
        if one.used:
            place = chosen[slot].placement
            one.gpu, one.profile = 0, numbers[chosen[slot].profile.id]
            one.place.start, one.place.size = place.start, place.size


def can_make(gpu, device):
    """Whether the stub would make it; asked for the profile's whole capacity where that says enough."""
    call = pynvml.nvmlDeviceGetGpuInstanceRemainingCapacity
    if not call(gpu, device.profile.id):
        return False
    place = pynvml.c_nvmlGpuInstancePlacement_t(device.placement.start, device.placement.size)
    create = pynvml.nvmlDeviceCreateGpuInstanceWithPlacement
    try:
        made = create(gpu, device.profile.id, ctypes.byref(place))
    except pynvml.NVMLError_InsufficientResources:
        return False
    pynvml.nvmlGpuInstanceDestroy(made)
    return True


def by_name(cut):
    """Upstream's order: that of the names as strings."""
    return sorted(
        cut.partitions(),
        key=lambda d: place_name(Place(0, d.profile.id, d.placement.start), d.profile.name),
    )


def served(cut, order, requests):
    """How many requests for profiles first-fit serves, one after another, until one cannot be."""
    counters = Counters(cut)
    for number, wanted in enumerate(requests):
        fits = (d for d in order if d.profile.id == wanted and counters.has_room(d))
        device = next(fits, None)
        if device is None:
            return number
        counters.take(device)
    return len(requests)


@pytest.mark.parametrize("table", TABLES)
def test_first_fit_in_our_order_serves_more_than_in_upstreams(table):
    """Every sequence of up to four requests: more of them are served to their end, and none of those that one
    profile alone makes up is worse."""
    cut = cut_of(table)
    kinds = [p.id for p in cut.profiles if p.most > 1 or p.slices > 2]
    ours, upstreams = cut.partitions(), by_name(cut)
    whole = [0, 0]
    for length in range(1, 5):
        for requests in itertools.product(kinds, repeat=length):
            for number, order in enumerate((ours, upstreams)):
                whole[number] += served(cut, order, requests) == length
    assert whole[0] >= whole[1]
    if len(cut.profiles) > 5:
        assert whole[0] > 1.2 * whole[1]
    for one in cut.profiles:
        assert served(cut, ours, [one.id] * 8) == one.most


@pytest.mark.parametrize("table", TABLES)
def test_a_large_device_fits_beside_as_many_small_ones_as_it_can(table):
    """Small ones first, as they come. Where placements differ, what the worse of them leaves is promised: the fourth
    small one beside 3 slices is one more than 4 slices can bear, and nobody knows which of the two will be asked for."""
    cut = cut_of(table)
    order, small = cut.partitions(), cut.profiles[0].id
    for large in (p for p in cut.profiles if p.slices > 1 and p.most > 0):
        most = fewest_beside(cut, small, large)
        assert served(cut, order, [small] * most + [large.id]) == most + 1


def fewest_beside(cut, small, large):
    """How many small ones have room beside a large one, wherever that is: by trying them all."""
    counts = []
    for place in (d for d in cut.partitions() if d.profile.id == large.id):
        counters = Counters(cut)
        counters.take(place)
        count = 0
        for device in (d for d in cut.partitions() if d.profile.id == small):
            if counters.has_room(device):
                counters.take(device)
                count += 1
        counts.append(count)
    return min(counts)


def test_a_claim_that_says_little_gets_the_least():
    devices = cut_of("H100-SXM5-80GB").partitions()
    names = list(dict.fromkeys(d.profile.name for d in devices))
    assert names == ["1g.10gb", "1g.10gb+me", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"]
    starts = {n: [d.placement.start for d in devices if d.profile.name == n] for n in names}
    assert starts["1g.10gb"] == [6, 5, 4, 3, 2, 1, 0]
    assert starts["2g.20gb"] == [4, 2, 0]
    assert starts["3g.40gb"] == [4, 0]
