"""How a GPU is: a handful of calls, for every few seconds."""

from __future__ import annotations

from typing import Any

from pydra_nvidia._nvml import links
from pydra_nvidia._nvml.asking import Asking, fields
from pydra_nvidia._nvml.identity import uuid
from pydra_nvidia._nvml.words import RECOVERY, SLOWDOWNS, word

_CORRECTED, _UNCORRECTED = 0, 1
_VOLATILE, _AGGREGATE = 0, 1
_GPU_SENSOR, _SLOWDOWN = 0, 1
_RECOVERY, _RETIRED_SINGLE, _RETIRED_DOUBLE, _RETIRED_PENDING = 230, 29, 30, 31


def condition(index: int, gpu: Asking) -> dict[str, Any]:
    """One look at one GPU. `faults` are only those of this look."""
    before = 0 if gpu.silent else len(gpu.faults)
    told: dict[str, Any] = {"index": index, "uuid": uuid(index, gpu)}
    told |= {"ecc": _ecc(gpu), "remapped_rows": _rows(gpu), "repair": _repair(gpu)}
    told |= {"temperature": gpu("nvmlDeviceGetTemperature", _GPU_SENSOR)}
    told |= {"slowdown_at": gpu("nvmlDeviceGetTemperatureThreshold", _SLOWDOWN)}
    told |= {"slowdowns": _slowdowns(gpu), **_fields(gpu)}
    active = links.states(gpu)
    told["active_links"] = [link for link, up in active.items() if up] if active else None
    return {**told, "lost": gpu.lost, "readable": not gpu.silent, "faults": gpu.faults[before:]}


def _ecc(gpu: Asking) -> dict[str, int | None]:
    mode = gpu("nvmlDeviceGetEccMode")
    if not mode or not mode[0]:
        return {}
    return {
        f"{name}_{when}": gpu("nvmlDeviceGetTotalEccErrors", kind, counter)
        for name, kind in (("corrected", _CORRECTED), ("uncorrected", _UNCORRECTED))
        for when, counter in (("volatile", _VOLATILE), ("aggregate", _AGGREGATE))
    }


def _rows(gpu: Asking) -> dict[str, Any] | None:
    told = gpu("nvmlDeviceGetRemappedRows")
    if told is None:
        return None
    correctable, uncorrectable, pending, failed = told
    counts = {"correctable": correctable, "uncorrectable": uncorrectable}
    return {**counts, "pending": bool(pending), "failed": bool(failed)}


def _repair(gpu: Asking) -> dict[str, bool] | None:
    told = gpu("nvmlDeviceGetRepairStatus")
    return told and {"channel_pending": bool(told[0]), "tpc_pending": bool(told[1])}


def _slowdowns(gpu: Asking) -> list[str] | None:
    mask = gpu("nvmlDeviceGetCurrentClocksEventReasons")
    if mask is None:  # a driver before 535
        mask = gpu("nvmlDeviceGetCurrentClocksThrottleReasons")
    return None if mask is None else [name for bit, name in SLOWDOWNS.items() if mask & bit]


def _fields(gpu: Asking) -> dict[str, Any]:
    """What NVML has as numbered fields only, in one call."""
    asked = (_RECOVERY, _RETIRED_SINGLE, _RETIRED_DOUBLE, _RETIRED_PENDING)
    told = fields(gpu, asked)
    pages = None
    if told.get(_RETIRED_SINGLE) is not None and told.get(_RETIRED_DOUBLE) is not None:
        pending = told.get(_RETIRED_PENDING)
        pages = {"single_bit": told[_RETIRED_SINGLE], "double_bit": told[_RETIRED_DOUBLE]}
        pages |= {"pending": None if pending is None else bool(pending)}
    return {"recovery": word(RECOVERY, told.get(_RECOVERY), "action"), "retired_pages": pages}
