"""NVML that crashes, hangs or was replaced: one call's error, in words, and the next one works."""

from __future__ import annotations

import asyncio

import pytest
from nvidia_hosts import asked, fake_host, nvml

from pydra_core.errors import (
    TerminalError,
    VendorCrashedError,
    VendorError,
    VendorReloadError,
    VendorTimeoutError,
)

__all__ = ["asked", "fake_host"]


@pytest.mark.parametrize(("abort", "signal"), [(False, "SIGSEGV"), (True, "SIGABRT")])
async def test_a_crash_in_nvml_names_the_signal_and_the_call(asked, abort, signal):
    machine = asked("h100x8")
    machine.host.crash("nvmlDeviceGetVbiosVersion", gpu=3, abort=abort)
    with pytest.raises(VendorCrashedError) as crashed:
        await machine.snapshot()
    assert crashed.value.fields["signal"] == signal
    assert "nvmlDeviceGetVbiosVersion" in str(crashed.value.fields["trace"])
    assert str(crashed.value).startswith("pydra_nvidia.nvml.snapshot: ")
    machine.host.mend()
    assert len((await machine.snapshot()).gpus) == 8


async def test_a_crash_that_passes_is_not_noticed_by_who_reads(asked):
    machine = asked("h100x8")
    machine.host.crash("nvmlDeviceGetUUID", gpu=7, times=1)
    found = await machine.snapshot()
    assert [gpu.uuid for gpu in found.gpus] == [gpu.uuid for gpu in machine.host.gpus]


async def test_a_crash_while_something_is_set_is_terminal_and_not_repeated(asked):
    machine = asked("h100x8")
    machine.host.crash("nvmlDeviceSetComputeMode", times=1)
    uuid = machine.host.gpus[0].uuid
    with pytest.raises(VendorCrashedError) as crashed:
        await machine.sdk(nvml.set_compute_mode, machine.root, uuid, "prohibited")
    assert isinstance(crashed.value, TerminalError)
    assert (await machine.snapshot()).gpus[0].compute_mode == "default"


async def test_a_call_that_hangs_ends_at_its_deadline_and_the_loop_goes_on(asked):
    machine = asked("h100x8")
    await machine.snapshot()
    machine.host.hang("nvmlDeviceGetName", gpu=1, times=1)
    hanging = asyncio.create_task(machine.snapshot(timeout=0.5))
    turns = 0
    while not hanging.done():
        await asyncio.sleep(0)
        turns += 1
    with pytest.raises(VendorTimeoutError, match=r"no answer within 0\.5 s"):
        await hanging
    assert turns > 100
    assert len((await machine.snapshot()).gpus) == 8


async def test_a_replaced_driver_is_read_by_the_same_call(asked):
    machine = asked("h100x8")
    assert (await machine.snapshot()).host.driver == "580.95.05"
    machine.host.replace_driver("590.44.01")
    assert (await machine.snapshot()).host.driver == "590.44.01"


async def test_a_driver_replaced_by_half_says_what_is_missing(asked):
    machine = asked("h100x8")
    await machine.snapshot()
    machine.host.replace_driver("590.44.01", half=True)
    with pytest.raises(VendorReloadError, match="load the new kernel module or reboot"):
        await machine.snapshot()
    machine.host.replace_driver("590.44.01")
    assert (await machine.snapshot()).host.driver == "590.44.01"


async def test_an_unloaded_kernel_module_is_said_and_waited_for(asked):
    machine = asked("h100x8")
    await machine.snapshot()
    machine.host.unload()
    with pytest.raises(VendorError, match="kernel module is not loaded; install the NVIDIA driver"):
        await machine.snapshot()
    machine.host.replace_driver("580.95.05")
    assert len((await machine.snapshot()).gpus) == 8


async def test_reports_survive_a_crash_and_say_the_present_state_again(asked):
    machine = asked("t4x1")
    reports = machine.reports()
    assert (await anext(reports)).kind == "watched"
    machine.host.crash("nvmlEventSetWait_v2", times=1)
    assert (await anext(reports)).kind == "watched"
    machine.host.xid(0, 48)
    assert (await anext(reports)).data == 48
    await reports.aclose()
