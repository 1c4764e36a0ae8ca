"""Whether a GPU can be given to a claim, by tables: what is read, what is reported, and what mends it."""

from __future__ import annotations

import pytest

from pydra_nvidia.condition import (
    Condition,
    EccErrors,
    EventKind,
    GpuEvent,
    RemappedRows,
    Repair,
    RetiredPages,
    Slowdown,
)
from pydra_nvidia.judging import Record, heard, look, verdict
from pydra_nvidia.xids import XidClass, Xids, meaning

XIDS = Xids()


def seen(**fields):
    return Condition(index=0, uuid="GPU-0", **fields)


def xid(number):
    return GpuEvent(kind=EventKind.XID, index=0, data=number)


def after(*happened, xids=XIDS):
    """What holds after looks and events, in their order."""
    record = Record()
    for each in happened:
        record = look(record, each) if isinstance(each, Condition) else heard(record, each, xids)
    return verdict(record)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (seen(), ""),
        (seen(lost=True), "GpuLost"),
        (seen(ecc=EccErrors(corrected_volatile=9, uncorrected_aggregate=3)), ""),
        (seen(remapped_rows=RemappedRows(correctable=5, uncorrectable=1, pending=False, failed=False)), ""),
        (seen(remapped_rows=RemappedRows(correctable=0, uncorrectable=1, pending=True, failed=False)), "RowRemapPending"),
        (seen(remapped_rows=RemappedRows(correctable=0, uncorrectable=9, pending=True, failed=True)), "RowRemapFailed"),
        (seen(retired_pages=RetiredPages(single_bit=2, double_bit=0, pending=True)), "PageRetirementPending"),
        (seen(retired_pages=RetiredPages(single_bit=2, double_bit=1, pending=False)), ""),
        (seen(repair=Repair(channel_pending=False, tpc_pending=True)), "RepairPending"),
        (seen(recovery="gpu_reset"), "RecoveryNeeded"),
        (seen(recovery="none"), ""),
        (seen(slowdowns=(Slowdown.POWER_CAP, Slowdown.SOFTWARE_THERMAL)), ""),
        (seen(active_links=(3,)), ""),
    ],
)  # fmt: skip
def test_one_look_tells(condition, reason):
    assert after(condition).reason == reason


@pytest.mark.parametrize("number", [13, 31, 43, 45, 68, 109])
def test_a_programs_own_errors_are_not_the_gpus(number):
    assert after(seen(), xid(number)).healthy


@pytest.mark.parametrize("number", [48, 64, 74, 79, 94, 95, 119, 120, 4711])
def test_other_errors_say_what_happened_and_what_to_do(number):
    told = after(seen(), xid(number), seen())
    assert told.reason == f"Xid{number}"
    assert told.message.startswith(f"XID {number}: {meaning(number)}; ")
    assert "restart the node" in told.message or "nvidia-smi --gpu-reset" in told.message


def test_an_operator_may_call_an_error_harmless():
    assert Xids([48]).kind(48) is XidClass.APPLICATION
    assert after(seen(), xid(48), xids=Xids([48])).healthy


def test_a_programs_error_does_not_hide_an_earlier_one_of_the_gpu():
    assert after(seen(), xid(48), xid(13), xid(43)).reason == "Xid48"


@pytest.mark.parametrize(
    "kind", [EventKind.DOUBLE_BIT_ECC, EventKind.FATAL_POISON, EventKind.RETIREMENT_FAILED]
)
def test_severe_reports_without_an_xid_count_too(kind):
    assert not after(seen(), GpuEvent(kind=kind, index=0), seen()).healthy


def test_reports_of_what_was_corrected_do_not_count():
    assert after(seen(), GpuEvent(kind=EventKind.SINGLE_BIT_ECC, index=0)).healthy


def test_a_reported_error_lasts_until_counters_begin_anew():
    ecc = EccErrors(uncorrected_volatile=2)
    assert after(seen(ecc=ecc), xid(48), seen(ecc=ecc), seen(ecc=ecc)).reason == "Xid48"
    assert after(seen(ecc=ecc), xid(48), seen(ecc=EccErrors(uncorrected_volatile=0))).healthy


def test_a_reported_error_lasts_until_the_driver_has_asked_for_nothing_for_a_while():
    calm = [seen(recovery="none")] * 6
    assert after(seen(recovery="none"), xid(48), *calm[:5]).reason == "Xid48"
    assert after(seen(recovery="none"), xid(48), *calm).healthy
    assert after(xid(48), *calm[:5], xid(95), *calm[:5]).reason == "Xid95"


def test_when_the_driver_stops_asking_for_a_reset_there_was_one():
    asks = seen(recovery="gpu_reset")
    assert after(xid(48), asks, asks, seen(recovery="none")).healthy


def test_a_lost_gpu_that_is_back_was_reset():
    assert after(seen(), xid(79), seen(lost=True)).reason == "GpuLost"
    assert after(seen(), xid(79), seen(lost=True), seen()).healthy


def test_being_slowed_down_counts_once_it_lasts():
    hot = seen(slowdowns=(Slowdown.HARDWARE_THERMAL,), temperature=93)
    assert after(hot, hot).healthy
    assert after(hot, hot, hot).reason == "HardwareSlowdown"
    assert "93 °C" in after(hot, hot, hot).message
    assert after(hot, hot, seen(), hot).healthy
