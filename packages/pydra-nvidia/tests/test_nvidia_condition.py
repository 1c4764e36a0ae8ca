"""How GPUs are: what is counted, what waits for a reset, and what each generation can tell."""

from __future__ import annotations

from nvidia_hosts import asked, fake_host

from pydra_nvidia.condition import EccErrors, RemappedRows, Repair, RetiredPages, Slowdown
from pydra_nvidia_fake.trouble import Code

__all__ = ["asked", "fake_host"]


async def test_counters_and_rows_of_a_new_gpu(asked):
    machine = asked("h100x8")
    state = machine.host.gpus[3].state
    state.ecc_corr_volatile, state.ecc_unc_volatile = 7, 1
    state.ecc_corr_aggregate, state.ecc_unc_aggregate = 5_000_000_000, 2
    state.remapped_corr, state.remapped_unc, state.remap_pending = 4, 1, 1
    state.temperature, state.slowdowns, state.recovery = 91, 0x1 | 0x8 | 0x40, 4
    state.repair_tpc = 1
    state.links[2].active = 0
    conditions = await machine.health()
    said = conditions[3]
    assert (said.index, said.uuid) == (3, machine.host.gpus[3].uuid)
    assert said.ecc == EccErrors(
        corrected_volatile=7,
        uncorrected_volatile=1,
        corrected_aggregate=5_000_000_000,
        uncorrected_aggregate=2,
    )
    assert said.remapped_rows == RemappedRows(
        correctable=4, uncorrectable=1, pending=True, failed=False
    )
    assert (said.temperature, said.slowdown_at) == (91, 87)
    assert said.slowdowns == (Slowdown.HARDWARE, Slowdown.HARDWARE_THERMAL)
    assert said.recovery == "drain_and_reset"
    assert said.repair == Repair(channel_pending=False, tpc_pending=True)
    assert said.active_links == (0, 1, *range(3, 18))
    assert said.retired_pages is None
    assert (await machine.snapshot()).gpus[3].condition == said
    assert {c.recovery for c in conditions if c is not said} == {"none"}


async def test_an_older_gpu_retires_pages(asked):
    machine = asked("dgx1-v100")
    state = machine.host.gpus[0].state
    state.retired_sbe, state.retired_dbe, state.retire_pending = 3, 1, 1
    said = (await machine.health())[0]
    assert said.retired_pages == RetiredPages(single_bit=3, double_bit=1, pending=True)
    assert (said.remapped_rows, said.recovery, said.repair) == (None, None, None)


async def test_an_action_newer_than_we_are_is_told_by_its_number(asked):
    machine = asked("t4x1")
    machine.host.gpus[0].state.recovery = 99
    assert (await machine.health())[0].recovery == "action-99"


async def test_without_ecc_nothing_is_counted(asked):
    machine = asked("h100x8")
    machine.host.gpus[0].state.ecc_current = 0
    first, second = (await machine.health())[:2]
    assert first.ecc == EccErrors()
    assert second.ecc.corrected_volatile == 0
    assert first.faults == ()


async def test_clocks_tell_by_their_older_name_too(asked):
    machine = asked("t4x1")
    machine.host.gpus[0].state.slowdowns = 0x4
    machine.host.fail("nvmlDeviceGetCurrentClocksEventReasons", 13)
    assert (await machine.health())[0].slowdowns == (Slowdown.POWER_CAP,)


async def test_a_look_is_a_fraction_of_a_snapshot(asked):
    machine = asked("h100x8")
    await machine.snapshot()
    begin = machine.host.calls
    await machine.health()
    middle = machine.host.calls
    await machine.snapshot()
    assert middle - begin < (machine.host.calls - middle) / 2


async def test_a_driver_that_takes_offence_at_a_field_is_asked_for_the_others(asked):
    machine = asked("dgx1-v100")
    machine.host.gpus[0].state.retired_dbe = 2
    machine.host.fail("nvmlDeviceGetFieldValues", Code.INVALID_ARGUMENT, gpu=0, times=2)
    said = (await machine.health())[0]  # all at once, and the first alone, are refused
    assert (said.recovery, said.retired_pages.double_bit, said.faults) == (None, 2, ())
