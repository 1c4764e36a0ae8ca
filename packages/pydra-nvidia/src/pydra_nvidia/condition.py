"""How a GPU is: what NVML counts and says of its health, and what it reports by itself.

Read by the SDK module, cheaply enough for every few seconds; judged by the driver, never here.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

RECOVERY_NONE = "none"


class Slowdown(StrEnum):
    """Why clocks are lowered, as far as it tells of trouble. Idle clocks and set clocks do not."""

    POWER_CAP = "software_power_cap"
    HARDWARE = "hardware_slowdown"
    SOFTWARE_THERMAL = "software_thermal"
    HARDWARE_THERMAL = "hardware_thermal"
    POWER_BRAKE = "hardware_power_brake"


class EventKind(StrEnum):
    """What an event is about.

    `watched` and `unwatched` tell of the watching itself: they come first, for each GPU, and again whenever that
    changes. The rest is NVML's.
    """

    WATCHED = "watched"
    UNWATCHED = "unwatched"
    LOST = "lost"
    XID = "xid"
    SINGLE_BIT_ECC = "single_bit_ecc"
    DOUBLE_BIT_ECC = "double_bit_ecc"
    SINGLE_BIT_STORM = "single_bit_ecc_storm"
    RETIREMENT = "dram_retirement"
    RETIREMENT_FAILED = "dram_retirement_failure"
    POISON = "non_fatal_poison"
    FATAL_POISON = "fatal_poison"
    UNAVAILABLE = "gpu_unavailable"
    RECOVERY = "gpu_recovery_action"


class _Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes from the worker is decoded strictly: a corrupt process must not be believed."""


class EccErrors(_Value, frozen=True, kw_only=True):
    """Errors since the driver was loaded (volatile) and in the GPU's life (aggregate). None: not counted here."""

    corrected_volatile: int | None = None
    uncorrected_volatile: int | None = None
    corrected_aggregate: int | None = None
    uncorrected_aggregate: int | None = None


class RemappedRows(_Value, frozen=True, kw_only=True):
    """Rows of memory replaced by spare ones (Ampere and later). `pending`: needs a reset; `failed`: no spare left."""

    correctable: int
    uncorrectable: int
    pending: bool
    failed: bool


class RetiredPages(_Value, frozen=True, kw_only=True):
    """Pages of memory put out of use (before Ampere), by cause. `pending`: some will be at the next reset."""

    single_bit: int
    double_bit: int
    pending: bool | None = None


class Repair(_Value, frozen=True, kw_only=True):
    """Repairs that wait for a reset."""

    channel_pending: bool
    tpc_pending: bool


class Condition(_Value, frozen=True, kw_only=True):
    """One look at one GPU.

    Attributes:
        index: NVML's, as in the snapshot of the same driver process.
        uuid: None if it cannot be told any more; then `index` has to do.
        lost: NVML says so: it fell off the bus, or needs a reset before anything else.
        readable: It could be asked; a lost one cannot, nor one that may not be opened, and `faults` says why.
        temperature: Of the chip, in degrees Celsius.
        slowdown_at: The temperature from which the hardware lowers the clocks.
        slowdowns: Why clocks are lowered now; None if it cannot be told.
        active_links: NVLinks that work now, by number; None without NVLink. One that never worked is not in use.
        recovery: What NVML asks the operator to do, `none` if nothing; None before driver 565.
        left_out: Why it is not asked at all: asking it took the library down.
        faults: Calls that failed, one text each; what is merely not supported is none.
    """

    index: int
    uuid: str | None = None
    lost: bool = False
    readable: bool = True
    ecc: EccErrors = EccErrors()
    remapped_rows: RemappedRows | None = None
    retired_pages: RetiredPages | None = None
    repair: Repair | None = None
    temperature: int | None = None
    slowdown_at: int | None = None
    slowdowns: tuple[Slowdown, ...] | None = None
    active_links: tuple[int, ...] | None = None
    recovery: str | None = None
    left_out: str = ""
    faults: tuple[str, ...] = ()


class GpuEvent(_Value, frozen=True, kw_only=True):
    """Something a GPU reported, or something about the watching of it.

    Attributes:
        index: NVML's, as in the snapshot of the same driver process.
        uuid: None if it cannot be told any more; then `index` has to do.
        data: For `xid` the XID; else what NVML gives beside the event, usually 0.
        gpu_instance: On a partitioned GPU, which instance; None for the whole GPU.
        compute_instance: Likewise.
        message: Why a GPU is not watched, or that it is lost, for people.
    """

    kind: EventKind
    index: int
    uuid: str | None = None
    data: int = 0
    gpu_instance: int | None = None
    compute_instance: int | None = None
    message: str = ""
