"""How GPUs of every described machine are shared: what can be asked for, and what each request leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nvidia_hosts import HOSTS, fake_host

from pydra_core import Allocation
from pydra_core.attributes import schema_faults
from pydra_core.quantity import parse
from pydra_nvidia.condition import Condition
from pydra_nvidia.counters import mps_samples
from pydra_nvidia.devices import SCHEMA, inventory
from pydra_nvidia.driver import NvidiaDriver
from pydra_nvidia.gpus import Engines, Gpu, Host, Memory, Mode, Snapshot
from pydra_nvidia.mps.values import Capabilities, DaemonState, Tenant
from pydra_nvidia.shares import MIB, Shares, capacities, offer, taken

__all__ = ["fake_host"]

MOST = 32
ABLE = Capabilities("mps-percent", 8, 128, "")


def gpu(memory=143771 * MIB, sms=132, **more):
    engines = Engines(
        multiprocessors=sms,
        copy_engines=8,
        decoders=7,
        encoders=0,
        jpeg_engines=7,
        ofa_engines=1,
    )
    known = {"index": 0, "minor": 0, "uuid": "GPU-1", "compute_capability": "9.0"}
    condition = Condition(index=0, uuid="GPU-1")
    return Gpu(**(known | more), memory=Memory(total=memory), engines=engines, condition=condition)


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("shares", ["memory", "7"])
async def test_every_machine_can_share_its_whole_gpus_and_only_those(
    fake_host, monkeypatch, name, shares
):
    monkeypatch.setenv("NVIDIA_SHARES", shares)
    nvidia = NvidiaDriver(fake_host(name).root)
    try:
        found = await nvidia.discover()
    finally:
        await nvidia.sdk.close()
    assert schema_faults(SCHEMA, found) == ()
    for device in found.devices:
        assert device.shareable == (device.attributes["type"] == "gpu")
        assert len(device.attributes) + len(device.capacity) <= MOST


def test_a_gpu_with_everything_there_is_to_say_keeps_to_the_limit_of_facts():
    one = gpu()
    snapshot = Snapshot(host=Host(driver="580.1", nvml="13", cuda="13.0"), gpus=(one,))
    offers = {"GPU-1": offer(one, Shares(memory=True, sms=True), ABLE)}
    (device,) = inventory(snapshot, offers=offers).devices
    every = {name for name, known in SCHEMA.items() if not name.startswith("memorySlice")}
    others = {"parentUUID", "profile", "shares"}  # of MIG devices, and of another way to share
    assert {*device.attributes, *device.capacity} <= every - others
    assert len(every - others) <= MOST
    assert device.attributes["unpartitionableSMs"] == 4
    assert device.capacity["sms"].policy.default == "128"
    assert device.capacity["sms"].value == "132"
    assert device.capacity["copyEngines"].policy.valid_values == ("0",)


def test_multiprocessors_nobody_can_ask_for_are_told_only_where_some_can_be():
    one = gpu()
    snapshot = Snapshot(host=Host(driver="580.1", nvml="13", cuda="13.0"), gpus=(one,))
    offers = {"GPU-1": offer(one, Shares(memory=True), ABLE)}
    (device,) = inventory(snapshot, offers=offers).devices
    assert device.attributes["smEnforcement"] == "mps-percent"
    assert "unpartitionableSMs" not in device.attributes


@pytest.mark.parametrize(("tenants", "alive", "up"), [(1, True, [1]), (1, False, [0]), (0, True, [])])  # fmt: skip
def test_whether_a_daemon_is_up_is_counted_while_it_has_tenants(tenants, alive, up):
    known = (Tenant("uid", "ns/name", "gpu-0"),) * tenants
    state = DaemonState("GPU-1", alive, "", None, "mps-percent", 3, known)
    found = {(s.name, s.labels["gpu"]): s.value for s in mps_samples(7, state)}
    assert [v for (name, _), v in found.items() if name.endswith("mps_up")] == up
    assert found["pydra_nvidia_mps_clients", "7"] == 3


def test_what_nothing_holds_programs_to_is_not_offered():
    wanted = Shares(memory=True, sms=True)
    assert offer(gpu(), wanted, None).most == {"memory": 143771 * MIB}
    nothing = Capabilities("none", 8, 128, "too old")
    assert offer(gpu(), wanted, nothing).enforcement == "none"
    assert offer(gpu(), Shares(sms=True), nothing) is None
    assert offer(gpu(mig=Mode(current=True, pending=True)), wanted, ABLE) is None


@given(memory=st.integers(1, 1 << 40), sms=st.integers(1, 200), unit=st.sampled_from([2, 4, 8]))
def test_defaults_are_whole_steps_and_after_a_claim_for_the_most_nothing_is_left(memory, sms, unit):
    able = Capabilities("mps-percent", unit, sms // unit * unit, "")
    found = offer(gpu(memory=memory, sms=sms), Shares(memory=True, sms=True), able)
    if found is None:
        assert memory < MIB
        assert sms < unit
        return
    for name, capacity in capacities(found, {}).items():
        policy, value = capacity.policy, parse(capacity.value).value()
        step = parse(policy.valid_range.step).value()
        most = parse(policy.valid_range.maximum).value()
        assert most % step == 0
        assert parse(policy.default).value() == most == found.most[name]
        assert 0 <= value - most < step


@pytest.mark.parametrize(
    ("consumed", "whole"),
    [
        ({"memory": "143771Mi", "sms": "128"}, True),
        ({"memory": "143771Mi", "sms": "120"}, False),
        ({"gpu.nvidia.com/memory": "8Gi", "sms": "128", "copyEngines": "0"}, False),
        ({}, True),
    ],
)
def test_a_claim_that_took_all_there_is_has_the_gpu_for_itself(consumed, whole):
    one = offer(gpu(), Shares(memory=True, sms=True), ABLE)
    allocation = Allocation(request="gpu", pool="n", device="gpu-0", consumed=consumed)
    share = taken(allocation, one)
    assert share.is_whole == whole
    assert share.of(one).keys() == {"memory", "sms"}
    if consumed:
        with pytest.raises(ValueError, match="memory"):
            taken(allocation, None)
