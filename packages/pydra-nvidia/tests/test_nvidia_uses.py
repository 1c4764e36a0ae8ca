"""How a claim uses a device, decided before anything is touched; and who fits beside whom, by the journal alone."""

from __future__ import annotations

import contextlib

import msgspec
import pytest

from pydra_core import Allocation, Claim, ClaimConfigError, ClaimRef, PreparedClaim, PreparedDevice
from pydra_core.errors import ConfigError, DeviceBusyError, DeviceError
from pydra_nvidia.condition import Condition
from pydra_nvidia.gpus import Gpu, Memory, MigDevice
from pydra_nvidia.neighbours import Neighbours
from pydra_nvidia.parameters import API_VERSION, GpuConfig, MigDeviceConfig
from pydra_nvidia.parts import Part, divided
from pydra_nvidia.presence import Presence
from pydra_nvidia.settings import NvidiaSettings
from pydra_nvidia.shares import MIB, Offer
from pydra_nvidia.sharing import Limits, Turns, asks, use
from pydra_nvidia.using import Using

GIB = 1 << 30
GPU = Gpu(
    index=0,
    minor=0,
    uuid="GPU-1",
    memory=Memory(total=80 * GIB),
    condition=Condition(index=0, uuid="GPU-1"),
)
BOTH = Offer(
    memory=80 * GIB,
    sms=128,
    unit=8,
    all_memory=80 * GIB,
    all_sms=132,
    enforcement="mps-static",
)
FOUR = Offer(number=4, all_memory=80 * GIB, all_sms=132, enforcement="mps-percent")


def config(kind="GpuConfig", strategy="MPS", **more):
    body = {"apiVersion": API_VERSION, "kind": kind, "sharing": {"strategy": strategy} | more}
    return msgspec.convert(body, GpuConfig if kind == "GpuConfig" else MigDeviceConfig)


def by_mps(**limits):
    return config(mpsConfig=limits)


def allocation(parameters=None, device="gpu-0", **more):
    known = {"request": "gpu", "pool": "n", "device": device, "config": parameters}
    return Allocation(**known | more)


def claim(*allocations, uid="uid-1"):
    ref = ClaimRef(namespace="ns", name=f"c-{uid}", uid=uid)
    return Claim(ref=ref, allocations=allocations)


def used(offer, parameters=None, *, mps=True, part=None, **consumed):
    """How a claim that took this of a GPU uses it."""
    one = allocation(parameters, share_id="s" if consumed else "", consumed=consumed)
    return use(claim(one), one, part or Part(GPU, offer=offer), mps=mps)


def test_a_share_is_held_to_its_part_where_something_can_hold_it():
    assert used(BOTH, memory="8Gi", sms="16") == Limits(sms=16, memory=8 * GIB)
    assert used(BOTH, memory="8Gi", sms="128") == Limits(memory=8 * GIB)
    assert used(BOTH, memory="80Gi", sms="8") == Limits(sms=8)
    assert used(BOTH, memory="80Gi", sms="128") is None
    assert used(BOTH, memory="8Gi", sms="128", mps=False) == Turns()
    assert used(Offer(memory=80 * GIB, all_memory=80 * GIB), memory="8Gi") == Turns()
    assert used(FOUR, shares="1") == Limits(percent=25, memory=20 * GIB)
    assert used(FOUR, shares="3") == Limits(percent=75, memory=60 * GIB)
    assert used(FOUR, shares="4") is None
    assert used(None) is None


@pytest.mark.parametrize(
    ("limits", "consumed", "held_to"),
    [
        ({}, {"memory": "80Gi", "sms": "128"}, Limits()),
        ({"defaultPinnedDeviceMemoryLimit": "4Gi"}, {"memory": "8Gi", "sms": "16"}, Limits(sms=16, memory=4 * GIB)),
        ({"defaultPinnedDeviceMemoryLimit": "40Gi"}, {"memory": "8Gi", "sms": "16"}, Limits(sms=16, memory=8 * GIB)),
        ({"defaultPinnedDeviceMemoryLimit": "4Gi", "defaultPerDevicePinnedMemoryLimit": {"0": "3Gi"}}, {}, Limits(memory=3 * GIB)),
        ({"defaultPinnedDeviceMemoryLimit": "4Gi", "defaultPerDevicePinnedMemoryLimit": {"0": "3Gi", "GPU-1": "2500k"}}, {}, Limits(memory=2 * MIB)),
        ({"defaultPinnedDeviceMemoryLimit": "4Gi", "defaultPerDevicePinnedMemoryLimit": {"GPU-2": "3Gi"}}, {}, Limits(memory=4 * GIB)),
        ({"defaultActiveThreadPercentage": 50}, {}, Limits(percent=50)),
        ({"defaultActiveThreadPercentage": 100}, {}, Limits()),
        ({"defaultActiveThreadPercentage": 50}, {"sms": "128", "memory": "8Gi"}, Limits(percent=50, memory=8 * GIB)),
        ({"defaultActiveThreadPercentage": 50}, {"sms": "120", "memory": "80Gi"}, Limits(sms=64)),
        ({"defaultActiveThreadPercentage": 50}, {"sms": "16", "memory": "80Gi"}, Limits(sms=16)),
        ({"defaultActiveThreadPercentage": 1}, {"sms": "16", "memory": "80Gi"}, Limits(sms=8)),
    ],
)  # fmt: skip
def test_of_two_limits_the_tighter_one_holds(limits, consumed, held_to):
    assert used(BOTH, by_mps(**limits), **consumed) == held_to


def test_of_a_share_s_part_and_a_percentage_the_tighter_one_holds():
    for percent, held_to in ((10, 10), (60, 25)):
        wanted = by_mps(defaultActiveThreadPercentage=percent)
        assert used(FOUR, wanted, shares="1") == Limits(percent=held_to, memory=20 * GIB)
    thirds = Offer(number=3, all_memory=80 * GIB, all_sms=132, enforcement="mps-percent")
    assert used(thirds, shares="1").percent == 33.33
    assert used(thirds, shares="1").memory == 27306 * MIB
    sixths = Offer(number=6, all_memory=80 * GIB, all_sms=132, enforcement="mps-percent")
    assert used(sixths, shares="1").percent == 16.66  # six of them are no more than the GPU


SLICES = {"timeSlicingConfig": {"interval": "Long"}}


def test_turns_are_as_long_as_is_said_and_bind_nobody_to_a_part():
    assert used(FOUR, config(strategy="TimeSlicing", **SLICES), shares="1") == Turns("Long")
    assert used(FOUR, config(strategy="TimeSlicing"), shares="1") == Turns()
    assert used(FOUR, config(strategy="TimeSlicing"), shares="4") is None
    assert used(None, config(strategy="TimeSlicing", **SLICES)) == Turns("Long")


MIG = Part(GPU, MigDevice(index=0, uuid="MIG-1", gpu_instance=1, compute_instance=0, profile="1g.10gb"))  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "why", "more"),
    [
        (config(strategy="TimeSlicing"), r"16 multiprocessors are held to by MPS only", {}),
        (None, r"16 multiprocessors are held to by MPS only", {"mps": False}),
        (config(), r"sharing.strategy: no MPS daemons are run on this node", {"mps": False}),
        (config("MigDeviceConfig"), "it is a whole GPU; take GpuConfig", {}),
        (config(), "it is a MIG device; take MigDeviceConfig", {"part": MIG}),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(parameters, why, more):
    consumed = {} if more.get("part") else {"memory": "8Gi", "sms": "16"}
    with pytest.raises(ClaimConfigError, match=f"claim ns/c-uid-1: device gpu-0: .*{why}"):
        used(BOTH, parameters, **more, **consumed)


def test_a_field_of_the_parameters_is_named_only_where_there_are_some():
    for parameters, where in ((None, ": 16 multi"), (config(strategy="TimeSlicing"), ": sharing.strategy: 16")):  # fmt: skip
        with pytest.raises(ClaimConfigError, match=f"device gpu-0{where}"):
            used(BOTH, parameters, mps=False, memory="8Gi", sms="16")


def test_under_mps_a_claim_has_one_device_and_may_look_at_others():
    one, two = allocation(config()), allocation(device="gpu-1")
    part = Part(GPU, offer=None)
    with pytest.raises(ClaimConfigError, match="talks to the MPS daemon of one GPU"):
        use(claim(one, two), one, part, mps=True)
    watched = allocation(device="gpu-1", admin_access=True)
    assert use(claim(one, watched), one, part, mps=True) == Limits()
    assert use(claim(one, watched), watched, Part(GPU, offer=FOUR), mps=True) is None
    meddling = allocation(config(), admin_access=True)
    with pytest.raises(ClaimConfigError, match="admin access changes nothing"):
        use(claim(meddling), meddling, part, mps=True)


def test_what_is_not_offered_any_more_is_not_given():
    for offer, consumed in ((None, {"memory": "8Gi"}), (FOUR, {"sms": "8"}), (None, {"other": "1"})):  # fmt: skip
        with pytest.raises(DeviceError, match="cannot be given now: NVIDIA_SHARES was changed"):
            used(offer, **consumed)


@pytest.mark.parametrize(
    ("one", "does"),
    [
        (allocation(), False),
        (allocation(share_id="s"), True),
        (allocation(share_id="s", admin_access=True), False),
        (allocation(config()), True),
        (allocation(config("MigDeviceConfig")), True),
        (allocation(config("MigDeviceConfig", "TimeSlicing")), False),
        (allocation(config(strategy="TimeSlicing")), False),
        (allocation(config(strategy="TimeSlicing", **SLICES)), True),
    ],
)
def test_only_who_could_change_a_gpu_is_written_down_before(one, does):
    assert asks(claim(one)) == does
    assert asks(claim(allocation(device="gpu-1"), one)) == does


class Journal:
    """A driver, as far as its journal goes."""

    def __init__(self, *held):
        self.claims = list(held)

    async def held(self):
        return tuple(self.claims)


def held(number, **state):
    device = PreparedDevice(request="gpu", pool="n", device="gpu-0", state=state)
    ref = ClaimRef(namespace="ns", name=f"c-uid-{number}", uid=f"uid-{number}")
    return PreparedClaim(ref=ref, devices=(device,))


def took(shares, way="turns", interval=""):
    return Presence(way, interval, {"shares": shares})


async def test_whoever_is_coming_counts_until_the_journal_forgets_it():
    journal = Journal(held(1))
    found = Neighbours(journal)
    await found.join(claim(uid="uid-1"), "GPU-1", [took(2)], FOUR)
    await found.join(claim(uid="uid-1"), "GPU-1", [took(3)], FOUR)  # again, as after an error
    journal.claims.append(held(2))
    with pytest.raises(DeviceBusyError, match=r"2 of 4 shares .* 3 are still in .* ns/c-uid-1;"):
        await found.join(claim(uid="uid-2"), "GPU-1", [took(2)], FOUR)
    await found.join(claim(uid="uid-2"), "GPU-2", [took(2)], FOUR)
    journal.claims[0] = held(1, uuid="GPU-1", use="turns", took={"shares": 3})
    await found.join(claim(uid="uid-1"), "GPU-1", [took(3)], FOUR)  # again, as after a reboot
    await found.join(claim(uid="uid-2"), "GPU-1", [took(1)], FOUR)
    del journal.claims[0]
    await found.join(claim(uid="uid-2"), "GPU-1", [took(4, "")], FOUR)
    found.forget("uid-2")
    journal.claims.append(held(3))
    await found.join(claim(uid="uid-3"), "GPU-1", [took(4, "")], FOUR)


def under(number, shares, way="turns"):
    """What is kept of a claim that took shares when there were so many."""
    return Presence(way, "", {"shares": shares}, number).state() | {"uuid": "GPU-1"}


@pytest.mark.parametrize(
    ("number", "shares", "now", "left"),
    [
        (4, 1, 8, 6),
        (8, 1, 4, 3),
        (8, 2, 4, 3),
        (2, 1, 3, 1),
        (3, 2, 2, 0),
        (4, 4, 48, 0),
        (48, 1, 4, 3),
        (4, 2, 4, 2),
    ],
)
async def test_shares_of_another_number_count_as_the_part_of_the_gpu_they_are(
    number, shares, now, left
):
    divided = Offer(number=now, all_memory=80 * GIB, all_sms=132)
    found = Neighbours(Journal(held(1, **under(number, shares)), held(2)))
    with pytest.raises(DeviceBusyError) as refused:
        await found.join(claim(uid="uid-2"), "GPU-1", [took(left + 1)], divided)
    was = "" if now == number else f" ({shares} of {number} shares when NVIDIA_SHARES was {number})"
    assert f"in the hands of ns/c-uid-1{was};" in str(refused.value)
    if left:
        await found.join(claim(uid="uid-2"), "GPU-1", [took(left)], divided)


async def test_who_is_coming_with_shares_of_another_number_counts_as_the_part_they_are():
    using = Using(Journal(held(1), held(2)), None)
    eight = Offer(number=8, all_memory=80 * GIB, all_sms=132)
    for uid, offer, shares, fits in (
        ("uid-1", FOUR, 1, True),
        ("uid-2", eight, 7, False),
        ("uid-2", eight, 6, True),
    ):
        one = allocation(share_id=f"s-{uid}", consumed={"shares": str(shares)})
        chosen = [(one, Part(GPU, offer=offer), Turns())]
        with contextlib.nullcontext() if fits else pytest.raises(DeviceBusyError, match="2 are"):
            await using.check(claim(one, uid=uid), chosen)


async def test_equal_shares_are_that_part_of_the_memory_where_memory_is_asked_for_now():
    found = Neighbours(Journal(held(1, **under(4, 1)), held(2)))
    for mine, fits in ((60, True), (61, False)):
        one = Presence("turns", "", {"memory": mine * GIB, "sms": 96})
        with contextlib.nullcontext() if fits else pytest.raises(DeviceBusyError, match="memory"):
            await found.join(claim(uid="uid-2"), "GPU-1", [one], BOTH)
    one = Presence("turns", "", {"memory": GIB, "sms": 97})
    with pytest.raises(DeviceBusyError, match=r"97 of 128 sms .* 32 are still"):
        await found.join(claim(uid="uid-2"), "GPU-1", [one], BOTH)


def test_what_was_divided_into_equal_shares_is_nothing_else_for_whoever_has_one():
    before = divided(Part(GPU, offer=BOTH), 4)
    assert before.offer.most == {"shares": 4}
    assert used(before.offer, shares="1") == Limits(percent=25, memory=20 * GIB)
    assert divided(Part(GPU, offer=BOTH), 0).offer == BOTH
    assert divided(Part(GPU), 4).offer is None


async def test_what_memory_was_taken_may_be_all_where_equal_shares_are_asked_for_now():
    some = Presence("turns", "", {"memory": GIB}).state() | {"uuid": "GPU-1"}
    found = Neighbours(Journal(held(1, **some), held(2)))
    with pytest.raises(DeviceBusyError, match=r"1 of 4 shares .* 4 are still .* ns/c-uid-1;"):
        await found.join(claim(uid="uid-2"), "GPU-1", [took(1)], FOUR)


async def test_ways_of_sharing_must_agree_with_others_and_with_one_s_own():
    there = held(1, uuid="GPU-1", use="turns", timeSlice="Long", took={"shares": 1})
    found = Neighbours(Journal(there, held(2)))
    for mine, why in (
        ([took(1, "mps")], "would share by MPS, and those of ns/c-uid-1 share it in turns"),
        ([took(1, interval="Short")], "turns on it are Long for ns/c-uid-1"),
        ([took(1), took(1, interval="Short")], "turns on it are Long for ns/c-uid-1"),
    ):
        with pytest.raises(ClaimConfigError, match=why):
            await found.join(claim(uid="uid-2"), "GPU-1", mine, FOUR)
    await found.join(claim(uid="uid-2"), "GPU-1", [took(1, interval="Long"), took(1)], FOUR)
    await found.join(claim(uid="uid-2"), "GPU-2", [took(1), took(1, interval="Short")], FOUR)
    own = [took(1, interval="Long"), took(1, interval="Short")]
    with pytest.raises(ClaimConfigError, match="turns on it are Long for ns/c-uid-2"):
        await found.join(claim(uid="uid-2"), "GPU-2", own, FOUR)


async def test_what_was_begun_is_known_before_it_is_in_the_journal():
    state = {"uuid": "GPU-1", "use": "turns", "computeMode": "prohibited"}
    found = Neighbours(Journal(held(1), held(2, uuid="GPU-1"), held(3, uuid="GPU-1", use="mps")))
    found.began("uid-1", {"uuid": "GPU-1"})
    found.began("uid-1", state)
    found.began("uid-1", state | {"uuid": "GPU-2"})
    found.began("uid-9", state)
    assert await found.states("GPU-1") == [{"uuid": "GPU-1", "use": "mps"}, state]
    assert await found.states("GPU-1", besides="uid-1") == [{"uuid": "GPU-1", "use": "mps"}]
    assert found.begun("uid-1", "GPU-1") == state
    assert found.begun("uid-1", "GPU-3") == found.begun("uid-8", "GPU-1") == {}
    found.forget("uid-1")
    assert found.begun("uid-1", "GPU-1") == {}


def test_settings_say_which_gpus_are_shared_and_by_what():
    def read(**environ):
        return NvidiaSettings.of({f"NVIDIA_{name}": text for name, text in environ.items()})

    both = read(SHARES=" sms, memory ", MPS="on", SHARED_GPUS="1, GPU-7")
    assert (both.shares.memory, both.shares.sms, both.shares.number) == (True, True, 0)
    seen = [both.is_shared(*gpu) for gpu in ((0, "GPU-0"), (1, "GPU-1"), (2, "GPU-7"), (7, "7"))]
    assert seen == [False, True, True, False]
    assert read(SHARES="2").is_shared(0, "GPU-0")
    assert not read(SHARED_GPUS="0").is_shared(0, "GPU-0")
    assert read(SHARES="48", MPS="on").shares.number == 48
    assert read(SHARES="49", MPS="off").shares.number == 49
    assert read(SHARES="1000").shares.number == 1000
    assert str(read(MPS_DIR="/run/elsewhere").mps_dir) == "/run/elsewhere"
    assert str(read().mps_dir) == "/run/pydra/mps"
    for shares in ("0", "1", "1001", "2,memory", "²", "-3"):
        with pytest.raises(ConfigError, match="NVIDIA_SHARES: must be"):
            read(SHARES=shares)
    with pytest.raises(ConfigError, match="MPS serves 48 programs"):
        read(SHARES="49", MPS="on")
