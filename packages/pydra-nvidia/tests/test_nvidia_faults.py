"""One unreadable field, or one lost GPU, takes nothing from the others."""

from __future__ import annotations

import shutil
from contextlib import aclosing

import msgspec
import pytest
from nvidia_hosts import asked, fake_host, nvml

from pydra_core.errors import DeviceGoneError, VendorError
from pydra_nvidia_fake.trouble import Code

__all__ = ["asked", "fake_host"]

NAMES = ("uuid", "minor", "name", "bus_id")


async def test_a_call_that_fails_is_a_fault_of_that_field_alone(asked):
    machine = asked("h100x8")
    before = await machine.snapshot()
    machine.host.fail("nvmlDeviceGetSerial", gpu=2)
    machine.host.fail("nvmlDeviceGetTemperature", Code.NO_PERMISSION, gpu=2)
    after = await machine.snapshot()
    assert after.gpus[2].faults == ("nvmlDeviceGetSerial: Unknown Error (999)",)
    assert after.gpus[2].condition.faults == (
        "nvmlDeviceGetTemperature: Insufficient Permissions (4)",
    )
    assert (after.gpus[2].serial, after.gpus[2].condition.temperature) == (None, None)
    mended = msgspec.structs.replace(
        after.gpus[2],
        serial=before.gpus[2].serial,
        faults=(),
        condition=before.gpus[2].condition,
    )
    assert (*after.gpus[:2], mended, *after.gpus[3:]) == before.gpus


async def test_a_call_that_is_not_supported_is_no_fault(asked):
    machine = asked("h100x8")
    for gpu, code in enumerate((Code.NOT_SUPPORTED, Code.FUNCTION_NOT_FOUND, 22, 25, 26)):
        machine.host.fail("nvmlDeviceGetRemappedRows", code, gpu=gpu)
        machine.host.fail("nvmlDeviceGetGpuFabricInfoV", code, gpu=gpu)
    for gpu in (await machine.snapshot()).gpus[:5]:
        assert (gpu.condition.remapped_rows, gpu.fabric) == (None, None)
        assert gpu.faults == gpu.condition.faults == ()


async def test_every_single_call_may_fail(asked):
    machine = asked("mixed-mig")
    told = await machine.snapshot()
    for gpu in range(4):
        machine.host.fail("*", Code.UNKNOWN, gpu=gpu)
    after = await machine.snapshot()
    assert after.host == told.host
    for gpu, was in zip(after.gpus, told.gpus, strict=True):
        assert [getattr(gpu, name) for name in NAMES] == [getattr(was, name) for name in NAMES]
        assert gpu.faults == ("nvmlDeviceGetHandleByIndex: Unknown Error (999)",)
        assert gpu.condition.faults == gpu.faults
        assert (gpu.lost, gpu.condition.readable) == (False, False)


async def test_a_lost_gpu_keeps_its_name_and_the_others_everything(asked):
    machine = asked("h100x8")
    before = await machine.snapshot()
    machine.host.lose(5)
    after = await machine.snapshot()
    lost = after.gpus[5]
    assert (lost.lost, lost.condition.readable) == (True, False)
    assert lost.condition.uuid == machine.host.gpus[5].uuid
    assert [getattr(lost, name) for name in NAMES] == [
        getattr(before.gpus[5], name) for name in NAMES
    ]
    assert lost.faults == ("nvmlDeviceGetHandleByIndex: GPU is lost (15)",)
    assert (*after.gpus[:5], *after.gpus[6:]) == (*before.gpus[:5], *before.gpus[6:])
    assert after.ancestors[5] == (None,) * 8
    assert after.ancestors[0][4] == 50
    conditions = await machine.health()
    assert [condition.lost for condition in conditions] == [False] * 5 + [True] + [False] * 2
    machine.host.find(5)
    assert await machine.snapshot() == before


async def test_a_gpu_lost_before_the_worker_began_is_named_by_the_kernel(asked):
    machine = asked("pcie-6")  # minor numbers are not in order here
    machine.host.lose(1)
    lost = (await machine.snapshot()).gpus[1]
    fake = machine.host.gpus[1]
    assert (lost.uuid, lost.minor, lost.bus_id) == (fake.uuid, 3, fake.bus_id)
    assert (lost.name, lost.pcie_root, lost.numa_node) == ("NVIDIA A10", "pci0000:3a", 0)
    assert lost.condition.uuid == fake.uuid
    assert [condition.uuid for condition in await machine.health()] == [
        gpu.uuid for gpu in machine.host.gpus
    ]
    async with aclosing(machine.reports()) as reports:
        first = [await anext(reports) for _ in range(2)]
    assert (first[1].kind, first[1].uuid) == ("lost", fake.uuid)


async def test_without_the_kernels_word_a_lost_gpu_has_an_index_only(asked):
    machine = asked("h100x8")
    machine.host.lose(1)
    shutil.rmtree(machine.host.root / "proc/driver/nvidia/gpus" / machine.host.gpus[1].bus_id)
    found = await machine.snapshot()
    assert [getattr(found.gpus[1], name) for name in NAMES] == [None] * 4
    assert (found.gpus[1].index, found.gpus[1].lost) == (1, True)
    assert len(found.by_uuid) == 7


async def test_a_gpu_lost_half_way_is_asked_nothing_more(asked):
    machine = asked("h100x8")
    await machine.snapshot()
    machine.host.fail("nvmlDeviceGetVbiosVersion", Code.GPU_IS_LOST, gpu=0)
    calls = machine.host.calls
    gpu = (await machine.snapshot()).gpus[0]
    asked_of_all = machine.host.calls - calls
    assert gpu.lost
    assert gpu.faults == ("nvmlDeviceGetVbiosVersion: GPU is lost (15)",)
    assert gpu.serial
    assert gpu.memory is None
    machine.host.mend()
    calls = machine.host.calls
    await machine.snapshot()
    assert machine.host.calls - calls > asked_of_all + 80


async def test_a_compute_mode_is_set_and_the_one_before_told(asked):
    machine = asked("h100x8")
    uuid = machine.host.gpus[4].uuid
    set_mode = nvml.set_compute_mode
    assert await machine.sdk(set_mode, machine.root, uuid, "exclusive_process") == "default"
    assert (await machine.snapshot()).gpus[4].compute_mode == "exclusive_process"
    assert await machine.sdk(set_mode, machine.root, uuid, "default") == "exclusive_process"
    with pytest.raises(VendorError, match="'shared' is no compute mode; take one of"):
        await machine.sdk(set_mode, machine.root, uuid, "shared")
    with pytest.raises(VendorError, match=f"GPU {uuid}: nvmlDeviceSetComputeMode: Not Supported"):
        await machine.sdk(set_mode, machine.root, uuid, "exclusive_thread")
    with pytest.raises(DeviceGoneError, match="GPU GPU-0: NVML does not have it any more"):
        await machine.sdk(set_mode, machine.root, "GPU-0", "default")
    machine.host.lose(4)
    with pytest.raises(DeviceGoneError, match="fell off the bus") as gone:
        await machine.sdk(set_mode, machine.root, uuid, "default")
    assert gone.value.fields["device"] == uuid
