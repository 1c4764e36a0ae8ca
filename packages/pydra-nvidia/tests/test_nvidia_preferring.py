"""Which GPUs, MIG devices and shares a pod gets that asked for a number of them, on machines as they are described."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nvidia_hosts import fake_host

from pydra_core.resources import Resource, ResourceDevice
from pydra_nvidia.condition import Condition
from pydra_nvidia.connected import Wiring, best_connected
from pydra_nvidia.driver import NvidiaDriver
from pydra_nvidia.gpus import Gpu, Host, Snapshot
from pydra_nvidia.parts import Part
from pydra_nvidia.preferring import preferred

__all__ = ["fake_host"]

GPU, SHARED = "nvidia.com/gpu", "nvidia.com/gpu.shared"


class Node:
    """A driver that has looked at its machine; GPUs are spoken of by minor number."""

    def __init__(self, driver, inventory):
        self.driver = driver
        self.inventory = inventory
        self.resources = {one.name: one for one in driver.resources(inventory)}
        self.minors = {
            d.attributes["uuid"]: int(d.name.split("-")[1])
            for d in inventory.devices
            if "-mig-" not in d.name
        }
        self.uuids = {minor: uuid for uuid, minor in self.minors.items()}

    def prefers(self, size, free=range(8), must=(), shuffle=7):
        """The minor numbers of what a container gets, however the kubelet shuffles what is free."""
        available = [self.uuids[minor] for minor in {*free, *must} if minor in self.uuids]
        random.Random(shuffle).shuffle(available)
        held = [self.uuids[minor] for minor in must]
        found = self.driver.prefer(self.resources[GPU], available, held, size)
        return {self.minors[uuid] for uuid in found}


@pytest.fixture
async def node(fake_host):
    made = []

    async def make(description):
        driver = NvidiaDriver(fake_host(description).root)
        made.append(driver)
        return Node(driver, await driver.discover())

    yield make
    for one in made:
        await one.sdk.close()


@pytest.mark.parametrize(
    ("machine", "size", "free", "expected"),
    [
        # DGX-1: pairs with two links, of which (0,3) and (4,7) leave the others the most
        ("dgx1-v100", 2, range(8), {0, 3}),
        ("dgx1-v100", 4, range(8), {0, 1, 2, 3}),
        ("dgx1-v100", 4, {1, 2, 3, 4, 5, 6, 7}, {4, 5, 6, 7}),
        ("dgx1-v100", 1, {0, 4, 5, 6, 7}, {0}),
        ("dgx1-v100", 3, {0, 1, 4, 5, 6, 7}, {4, 6, 7}),
        # a bridge joins each pair, and half of a pair is used up before a pair is broken
        ("nvlink-bridge-8", 2, range(8), {0, 1}),
        ("nvlink-bridge-8", 2, {1, 2, 4, 5}, {4, 5}),
        ("nvlink-bridge-8", 1, {0, 1, 2, 4, 5}, {2}),
        ("nvlink-bridge-8", 2, {0, 2, 3, 5, 6}, {2, 3}),
        ("nvlink-bridge-8", 4, {0, 1, 2, 3, 4, 5}, {0, 1, 2, 3}),
        ("nvlink-bridge-8", 4, {0, 1, 4, 5, 6, 7}, {4, 5, 6, 7}),
        # the best pairs are not neighbours
        ("crossed-8", 2, range(8), {0, 4}),
        ("crossed-8", 4, range(8), {0, 2, 4, 6}),
        ("crossed-8", 2, {0, 1, 2, 3, 5}, {1, 5}),
        # behind NVSwitches all links are equal: one processor, and what was begun
        ("h100x8", 2, range(8), {0, 1}),
        ("h100x8", 4, {0, 1, 3, 4, 5, 6, 7}, {4, 5, 6, 7}),
        ("h100x8", 2, {0, 1, 2, 4, 5}, {4, 5}),
        ("h100x8", 3, {0, 1, 2, 3, 4, 5, 6}, {4, 5, 6}),
        ("h100x8", 8, range(8), set(range(8))),
        # no NVLink: switches (minor numbers are not in the order of the bus)
        ("pcie-6", 2, range(6), {4, 5}),
        ("pcie-6", 2, {0, 2, 3, 4}, {2, 3}),
        ("pcie-6", 1, {0, 1, 2, 4, 5}, {2}),
        ("pcie-6", 3, range(6), {0, 1, 2}),
        ("phb-4", 2, range(4), {0, 1}),
        ("t4x1", 1, {0}, {0}),
    ],
)
async def test_gpus_come_well_connected_and_leave_others_well_connected(
    node, machine, size, free, expected
):
    here = await node(machine)
    assert here.prefers(size, free) == expected
    assert here.prefers(size, free, shuffle=8) == expected


async def test_what_a_container_has_already_is_built_upon(node):
    here = await node("nvlink-bridge-8")
    assert here.prefers(2, must={6}) == {6, 7}
    assert here.prefers(4, must={3, 5}) == {2, 3, 4, 5}
    assert here.prefers(2, must={0, 7}) == {0, 7}


async def test_of_too_few_all_are_taken_and_what_is_not_known_comes_last(node):
    here = await node("phb-4")
    resource = here.resources[GPU]
    known = list(here.uuids.values())
    assert here.prefers(4, free={1, 2}) == {1, 2}
    found = here.driver.prefer(resource, ["GPU-gone", *known], (), 4)
    assert {*found} == {*known}
    assert here.driver.prefer(resource, ["GPU-gone", known[0]], ["GPU-lost"], 3) == [
        "GPU-lost",
        known[0],
        "GPU-gone",
    ]


async def test_before_anything_is_discovered_nothing_is_preferred(fake_host):
    driver = NvidiaDriver(fake_host("t4x1").root)
    assert driver.prefer(Resource(GPU), ["GPU-a", "GPU-b"], ["GPU-b"], 1) == ["GPU-b"]


async def test_mig_devices_come_from_the_gpu_that_is_fullest(fake_host):
    host = fake_host("a100-80x8")
    for gpu in (0, 1, 2):
        host.gpus[gpu].state.mig_current = host.gpus[gpu].state.mig_pending = 1
        for start in (0, 1, 2, 3):
            host.partition(gpu, "1g.10gb", start)
    driver = NvidiaDriver(host.root)
    inventory = await driver.discover()
    await driver.sdk.close()
    (resource,) = (r for r in driver.resources(inventory) if r.name == "nvidia.com/mig-1g.10gb")
    on = {one.id: int(one.devices[0].split("-")[1]) for one in resource.devices}
    of = [[i for i, gpu in on.items() if gpu == n] for n in (0, 1, 2)]

    def prefers(size, *free):
        return [on[one] for one in driver.prefer(resource, [*itertools.chain(*free)], (), size)]

    assert prefers(1, *of) == [0]
    assert prefers(2, of[0], of[1][:1], of[2][:3]) == [1, 2]
    assert prefers(5, of[0], of[1][:2], of[2][:2]) == [1, 1, 2, 2, 0]
    assert driver.prefer(resource, of[2], (), 2) == of[2][:2]


def gpu(index, **place):
    condition = Condition(index=index)
    return Gpu(index=index, minor=index, uuid=f"GPU-{index}", condition=condition, **place)


def spread(count, number, size, free, must=""):
    """Which shares a container gets of so many GPUs with so many shares each: `1::0` is one of GPU 1."""
    parts = {f"gpu-{n}": Part(gpu(n)) for n in range(count)}
    devices = [
        ResourceDevice(id=f"GPU-{g}::{n}", devices=(f"gpu-{g}",), share=str(n))
        for g in range(count)
        for n in range(number)
    ]
    host = Host(driver="580", nvml="13.580", cuda="13.0")
    snapshot = Snapshot(host=host, gpus=tuple(part.gpu for part in parts.values()))
    held = [f"GPU-{one}" for one in must.split()]
    ids = [*held, *(f"GPU-{one}" for one in free.split())]
    found = preferred(Resource(SHARED, tuple(devices)), snapshot, parts, ids, held, size)
    return " ".join(one.removeprefix("GPU-") for one in found)


def test_shares_come_from_the_gpu_of_which_most_is_left():
    assert spread(2, 3, 1, free="0::1 0::2 1::2 1::0 1::1") == "1::0"
    assert spread(2, 3, 1, free="1::2 1::1 0::2 0::1") == "0::1"
    assert spread(2, 12, 1, free="0::10 0::2") == "0::2"


def test_several_shares_of_one_container_are_of_several_gpus():
    assert spread(3, 3, 3, free="0::0 0::1 0::2 1::0 2::2") == "0::0 1::0 2::2"
    assert spread(2, 3, 3, free="0::0 0::1 0::2 1::0") == "0::0 1::0 0::1"
    assert spread(2, 3, 2, free="0::0 0::1 1::2", must="0::2") == "0::2 1::2"
    assert spread(2, 2, 9, free="0::0") == "0::0"


def trays(count, size, *, near=None):
    """GPUs of which each `size` are linked with each other, pair by pair with one link more."""
    gpus = tuple(
        gpu(n, numa_node=n // size, pcie_root=f"pci0000:{n // 2:02x}") for n in range(count)
    )
    pairs = itertools.combinations(range(count), 2)
    links = {frozenset((a, b)): 1 + (a // 2 == b // 2) for a, b in pairs if a // size == b // size}
    return Wiring(gpus, links, near or ())


@pytest.mark.parametrize("size", [2, 4, 6, 8])
def test_of_more_gpus_than_all_sets_can_be_looked_at_a_whole_tray_is_found(size):
    wiring = trays(32, 8)
    free = [wiring.gpus[n] for n in range(32) if n not in {0, 9, 10, 18, 19, 20}]
    found = best_connected(wiring, free, (), size)
    assert {g.index for g in found} == {
        2: {16, 17},  # the tray of which least is left
        4: {16, 17, 22, 23},
        6: {2, 3, 4, 5, 6, 7},  # three whole pairs, which the tray with six has not
        8: {24, 25, 26, 27, 28, 29, 30, 31},
    }[size]


def test_where_nvml_tells_no_way_between_gpus_sysfs_says_what_is_near():
    wiring = Wiring(trays(4, 4).gpus, {}, ((None, None, None, None),) * 4)
    (one, two, three, four) = wiring.gpus
    assert best_connected(wiring, (one, three, four), (), 2) == (three, four)
    far = gpu(4, numa_node=1)
    assert best_connected(wiring, (one, far, three), (), 2) == (one, three)
    assert wiring.weight(two, two) == 0


@given(
    st.integers(1, 14),
    st.integers(0, 14),
    st.lists(st.integers(0, 99), min_size=91, max_size=91),
    st.integers(0, 3),
)
@settings(max_examples=60)
def test_as_many_as_are_asked_for_are_given_and_no_swap_is_better(count, size, noise, must):
    gpus = tuple(gpu(n) for n in range(count))
    pairs = itertools.combinations(range(count), 2)
    links = {
        frozenset(pair): one % 7 for pair, one in zip(pairs, noise, strict=False) if one % 7 > 3
    }
    wiring = Wiring(gpus, links, ())
    must = min(must, count)
    found = best_connected(wiring, gpus[must:], gpus[:must], size)
    assert len({g.index for g in found}) == len(found) == min(max(size, must), count)
    assert {*range(must)} <= {g.index for g in found}

    def inside(chosen):
        return sum(wiring.weight(a, b) for a, b in itertools.combinations(chosen, 2))

    for old in found[must:]:
        for new in {g.index for g in gpus} - {g.index for g in found}:
            kept = [g for g in found if g is not old]
            assert inside([*kept, gpus[new]]) <= inside(found)
