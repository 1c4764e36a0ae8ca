"""Partitions made and undone by placement, through the worker: nothing made twice, nothing left over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nvidia_hosts import asked, fake_host, nvml

import pydra_nvidia_fake
from pydra_core.errors import (
    DeviceBusyError,
    DeviceGoneError,
    TerminalError,
    VendorCrashedError,
    VendorError,
)
from pydra_nvidia import reading
from pydra_nvidia_fake.trouble import Code

__all__ = ["asked", "fake_host"]

TABLES = json.loads((Path(pydra_nvidia_fake.__file__).parent / "tables/mig.json").read_text())
COUNT = "nvmlGpuInstanceCreateComputeInstance"


@pytest.fixture
async def machine(asked):
    """An H100 machine whose first GPU is in MIG mode."""
    made = asked("h100x8")
    assert await made.sdk(nvml.set_mig_mode, made.root, made.host.gpus[0].uuid, on=True)
    return made


def uuid(machine, gpu=0):
    return machine.host.gpus[gpu].uuid


async def create(machine, profile, start, size, gpu=0):
    return reading.created(
        await machine.sdk(
            nvml.create_mig_device, machine.root, uuid(machine, gpu), profile, start, size
        )
    )


async def destroy(machine, profile, start):
    return await machine.sdk(nvml.destroy_mig_device, machine.root, uuid(machine), profile, start)


async def instances(machine):
    return reading.gpu_instances(await machine.sdk(nvml.gpu_instances, machine.root, uuid(machine)))


@pytest.mark.parametrize(("name", "table"), [("a100-80x8", "A100-SXM4-80GB"), ("a30x1", "A30-24GB"), ("t4x1", None)])  # fmt: skip
async def test_what_a_gpu_can_be_cut_into_is_read_from_nvml(asked, name, table):
    machine = asked(name)
    choices = reading.mig_profiles(await machine.sdk(nvml.mig_profiles, machine.root))
    rows = TABLES[table]["profiles"] if table else []
    assert [choice.uuid for choice in choices] == [gpu.uuid for gpu in machine.host.gpus]
    for choice in choices:
        assert choice.faults == ()
        assert sorted(
            (p.id, p.name, p.slices, p.most, p.memory >> 20, p.multiprocessors, p.copy_engines)
            for p in choice.profiles
        ) == sorted(
            (r["id"], r["name"], r["slices"], r["most"], r["memory_mib"], r["sm"], r["ce"])
            for r in rows
        )
        starts = {p.id: [(q.start, q.size) for q in p.placements] for p in choice.profiles}
        assert starts == {r["id"]: [(s, r["size"]) for s in r["starts"]] for r in rows}


async def test_a_partition_is_made_read_and_undone(machine):
    made = await create(machine, 9, 4, 4)
    (part,) = (await machine.snapshot()).gpus[0].mig_devices
    assert (part.uuid, part.gpu_instance, part.compute_instance) == (
        made.uuid,
        made.gpu_instance,
        made.compute_instance,
    )
    assert (part.profile, part.placement.start, part.compute_slices) == ("3g.40gb", 4, 3)
    assert await create(machine, 9, 4, 4) == made
    assert len(machine.host.gpus[0].instances) == 1
    assert await destroy(machine, 9, 4)
    assert not await destroy(machine, 9, 4)
    assert machine.host.gpus[0].instances == ()


async def test_what_is_in_the_way_is_named_and_stays(machine):
    made = await create(machine, 9, 0, 4)
    with pytest.raises(
        VendorError,
        match=rf"slices 0 to 0 are taken by GPU instance {made.gpu_instance}; remove it",
    ):
        await create(machine, 19, 0, 1)
    assert not await destroy(machine, 19, 0)
    assert [one.profile for one in machine.host.gpus[0].instances] == ["3g.40gb"]


async def test_a_crash_between_instance_and_compute_instance_is_found_and_mended(machine):
    machine.host.crash(COUNT, times=1)
    with pytest.raises(VendorCrashedError) as crashed:
        await create(machine, 14, 2, 2)
    assert isinstance(crashed.value, TerminalError)
    (half,) = await instances(machine)
    assert (half.profile_id, half.placement.start, half.computes) == (14, 2, ())
    assert (await machine.snapshot()).gpus[0].mig_devices == ()
    made = await create(machine, 14, 2, 2)
    assert made.gpu_instance == half.id
    (whole,) = await instances(machine)
    assert whole.computes == (made.compute_instance,)


async def test_an_instance_that_cannot_be_filled_is_undone(machine):
    machine.host.fail(COUNT, Code.INSUFFICIENT_RESOURCES, times=1)
    with pytest.raises(VendorError, match=COUNT):
        await create(machine, 14, 2, 2)
    assert await instances(machine) == ()


async def test_what_cannot_be_read_does_not_pass_for_what_is_not_there(machine):
    await create(machine, 14, 2, 2)
    for call in ("nvmlDeviceGetGpuInstances", "nvmlGpuInstanceGetComputeInstances"):
        machine.host.fail(call)
        with pytest.raises(VendorError, match=f"GPU {uuid(machine)}: {call}: Unknown Error"):
            await destroy(machine, 14, 2)
        machine.host.mend()
    assert len(machine.host.gpus[0].instances) == 1
    assert await destroy(machine, 14, 2)


async def test_a_partition_in_use_stays(machine):
    made = await create(machine, 14, 2, 2)
    state = machine.host.gpus[0].state
    state.n_processes = 1
    state.processes[0].pid, state.processes[0].gpu_instance = 4711, made.gpu_instance
    with pytest.raises(DeviceBusyError, match="end the programs that use it"):
        await destroy(machine, 14, 2)
    assert len(machine.host.gpus[0].instances) == 1
    state.n_processes = 0
    assert await destroy(machine, 14, 2)


async def test_the_mode_holds_at_once_or_after_a_reset(asked):
    old, new = asked("a100-40x8"), asked("b200x8")
    assert not await old.sdk(nvml.set_mig_mode, old.root, uuid(old), on=True)
    old.host.reset(0)
    assert await old.sdk(nvml.set_mig_mode, old.root, uuid(old), on=True)
    assert await new.sdk(nvml.set_mig_mode, new.root, uuid(new), on=True)
    await create(new, 19, 0, 1)
    with pytest.raises(DeviceBusyError):
        await new.sdk(nvml.set_mig_mode, new.root, uuid(new), on=False)
    new.host.gpus[1].state.n_processes = 1
    with pytest.raises(DeviceBusyError):
        await new.sdk(nvml.set_mig_mode, new.root, uuid(new, 1), on=True)


async def test_a_gpu_that_is_gone_or_whole_is_said_so(machine, asked):
    with pytest.raises(VendorError, match=r"MIG mode of GPU .* is off; switch it on"):
        await create(machine, 19, 0, 1, gpu=1)
    card = asked("t4x1")
    with pytest.raises(VendorError, match="nvmlDeviceGetMigMode: Not Supported"):
        await card.sdk(nvml.set_mig_mode, card.root, uuid(card), on=True)
    await machine.snapshot()
    machine.host.lose(0)
    with pytest.raises(DeviceGoneError):
        await create(machine, 19, 0, 1)
    with pytest.raises(DeviceGoneError):
        await destroy(machine, 19, 0)
