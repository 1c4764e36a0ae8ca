"""From what a GPU counts and reports to whether it can be given to a claim: pure, one GPU at a time, no waiting.

What is read (`Condition`) holds as long as it is read so. What is reported (`GpuEvent`) is remembered until the GPU
was reset, which NVML's own recommendation tells where the driver has one, else counters that began anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydra_nvidia.condition import RECOVERY_NONE, Condition, EventKind, GpuEvent, Slowdown
from pydra_nvidia.xids import XidClass, Xids, meaning

_HOT = frozenset((Slowdown.HARDWARE, Slowdown.HARDWARE_THERMAL, Slowdown.POWER_BRAKE))
_FOR_LONG = 3
"""Looks in a row at which a GPU must be slowed down by the hardware: one alone is a peak."""
_CALM = 6
"""Looks in a row after an event at which the driver must recommend nothing: it may take a while to say so."""
_SEVERE = {
    EventKind.DOUBLE_BIT_ECC: ("DoubleBitError", "a double-bit memory error"),
    EventKind.RETIREMENT_FAILED: ("RetirementFailed", "memory could not be retired"),
    EventKind.FATAL_POISON: ("FatalPoison", "a program read memory that is beyond repair"),
    EventKind.UNAVAILABLE: ("GpuUnavailable", "the GPU says it is unavailable"),
}
_RESET = "reset it once no pod uses it (nvidia-smi --gpu-reset)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a GPU may be used; if not, `reason` is one word and `message` says what to do."""

    reason: str = ""
    message: str = ""

    @property
    def healthy(self) -> bool:
        return not self.reason


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of one GPU from look to look.

    Attributes:
        condition: The latest look; None before the first.
        event: What it reported that only a reset mends.
        hot: Looks in a row at which the hardware slowed it down.
        calm: Looks since that event at which the driver recommended nothing.
    """

    condition: Condition | None = None
    event: Verdict = Verdict()
    hot: int = 0
    calm: int = 0


def look(record: Record, condition: Condition) -> Record:
    """Take in a look."""
    slowed = bool(_HOT & frozenset(condition.slowdowns or ()))
    calm = record.calm + 1 if condition.recovery == RECOVERY_NONE and not condition.lost else 0
    mended = calm >= _CALM or _was_reset(record.condition, condition)
    return Record(
        condition,
        event=Verdict() if mended else record.event,
        hot=record.hot + 1 if slowed else 0,
        calm=calm,
    )


def heard(record: Record, event: GpuEvent, xids: Xids) -> Record:
    """Take in an event; one of a program's own making changes nothing."""
    if event.kind is EventKind.LOST:
        return replace(record, event=_LOST, calm=0)
    if event.kind is EventKind.XID:
        verdict = _of_xid(event.data, xids)
        return replace(record, event=verdict, calm=0) if verdict else record
    if event.kind in _SEVERE:
        reason, what = _SEVERE[event.kind]
        return replace(record, event=Verdict(reason, f"{what}; {_RESET}"), calm=0)
    return record


def verdict(record: Record) -> Verdict:
    """What holds now, the worst first."""
    condition = record.condition
    if condition is None:
        return record.event
    if condition.lost:
        return _LOST
    if condition.left_out:
        return Verdict("VendorCrashed", f"it cannot be asked: {condition.left_out}; {_RESET}")
    if not condition.readable:
        return Verdict(
            "GpuUnreadable", f"it cannot be asked how it is: {'; '.join(condition.faults)}"
        )
    return next(
        (
            v
            for v in (_memory(condition), record.event, _recovery(condition), _heat(record))
            if not v.healthy
        ),
        Verdict(),
    )


_LOST = Verdict(
    "GpuLost",
    "the GPU does not answer any more; see the kernel log (NVRM), drain and restart the node, and if it comes back"
    " have the hardware looked at",
)


def _of_xid(number: int, xids: Xids) -> Verdict | None:
    kind = xids.kind(number)
    if kind in (XidClass.APPLICATION, XidClass.NOTICE):
        return None
    todo = (
        _RESET
        if kind is XidClass.RESET
        else "drain and restart the node; if it comes back have the hardware looked at"
    )
    return Verdict(f"Xid{number}", f"XID {number}: {meaning(number)}; {todo}")


def _memory(condition: Condition) -> Verdict:
    rows, pages, repair = condition.remapped_rows, condition.retired_pages, condition.repair
    if rows and rows.failed:
        return Verdict("RowRemapFailed", "no spare rows of memory are left; have the GPU replaced")
    if rows and rows.pending:
        return Verdict("RowRemapPending", f"rows of memory wait to be remapped; {_RESET}")
    if pages and pages.pending:
        return Verdict("PageRetirementPending", f"pages of memory wait to be retired; {_RESET}")
    if repair and (repair.channel_pending or repair.tpc_pending):
        return Verdict("RepairPending", f"a repair waits for a reset; {_RESET}")
    return Verdict()


def _recovery(condition: Condition) -> Verdict:
    wanted = condition.recovery
    if wanted in (None, RECOVERY_NONE):
        return Verdict()
    return Verdict(
        "RecoveryNeeded", f"the driver asks for: {wanted}; do it once no pod uses the GPU"
    )


def _heat(record: Record) -> Verdict:
    if record.hot < _FOR_LONG:
        return Verdict()
    at = record.condition.temperature if record.condition else None
    where = f" at {at} °C" if at is not None else ""
    return Verdict(
        "HardwareSlowdown",
        f"the hardware slows the GPU down{where}; look at cooling and power supply",
    )


def _was_reset(before: Condition | None, now: Condition) -> bool:
    """Whether the GPU began anew between two looks: it is back, its counters did, or the driver asks no more."""
    if before is None or now.lost or not now.readable:
        return False
    old, new = before.ecc.uncorrected_volatile, now.ecc.uncorrected_volatile
    fewer = old is not None and new is not None and new < old
    asks_no_more = before.recovery not in (None, RECOVERY_NONE) and now.recovery == RECOVERY_NONE
    return before.lost or fewer or asks_no_more
