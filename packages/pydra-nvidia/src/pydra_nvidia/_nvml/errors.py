"""What NVML's errors mean, said once; and the one module that imports `pynvml`.

The others take `pynvml` from here, so that what is loaded, and where, is in one place.
"""

from __future__ import annotations

import pynvml

from pydra_core.errors import (
    DeviceBusyError,
    DeviceGoneError,
    DeviceUnhealthyError,
    PydraError,
    VendorError,
    VendorReloadError,
)

__all__ = ["ABSENT", "BEGIN", "LOST", "NO_SUCH", "RELOAD", "meaning", "pynvml", "said"]

LOST = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})
"""The GPU answers nothing more."""

ABSENT = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_NO_DATA,
        pynvml.NVML_ERROR_VGPU_ECC_NOT_SUPPORTED,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_DEPRECATED,
    }
)
"""This GPU has no such thing, or the driver is older or newer than the question."""

RELOAD = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    }
)
"""The kernel module this library was begun with is gone."""

NO_SUCH = frozenset({pynvml.NVML_ERROR_INVALID_ARGUMENT, pynvml.NVML_ERROR_NOT_FOUND})
"""There is none of that number."""

BEGIN = "nvmlInit"
"""The first call: a kernel module that is missing then was never there for this process."""

_MEANS: dict[int, tuple[type[PydraError], str]] = {
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        VendorError,
        "the kernel module is not loaded; install the NVIDIA driver, or wait for its container",
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        VendorReloadError,
        "the driver was replaced; if that stays, load the new kernel module or reboot",
    ),
    pynvml.NVML_ERROR_UNINITIALIZED: (VendorReloadError, "the library must be loaded anew"),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        VendorError,
        "give the driver's container access to /dev/nvidia*, or run it privileged",
    ),
    pynvml.NVML_ERROR_GPU_IS_LOST: (
        DeviceGoneError,
        "it fell off the bus; reset it, or reboot the node",
    ),
    pynvml.NVML_ERROR_RESET_REQUIRED: (DeviceUnhealthyError, "reset it, or reboot the node"),
    pynvml.NVML_ERROR_NOT_FOUND: (DeviceGoneError, "it is not there any more"),
    pynvml.NVML_ERROR_IN_USE: (DeviceBusyError, "end the programs that use it"),
    pynvml.NVML_ERROR_INSUFFICIENT_POWER: (
        DeviceUnhealthyError,
        "plug its power cables in properly",
    ),
    pynvml.NVML_ERROR_IRQ_ISSUE: (DeviceUnhealthyError, "the kernel log tells of its interrupts"),
    pynvml.NVML_ERROR_CORRUPTED_INFOROM: (DeviceUnhealthyError, "have it repaired"),
}
_OTHERWISE: tuple[type[PydraError], str] = (
    VendorError,
    "the kernel log may tell more; report it with the driver's version",
)


def meaning(err: pynvml.NVMLError, call: str, gpu: str = "") -> PydraError:
    """What an error of NVML is to us, in words that say what to do."""
    kind, advice = _MEANS.get(err.value, _OTHERWISE)
    if err.value in RELOAD and call != BEGIN:
        kind = VendorReloadError
    about: dict[str, object] = {"device": gpu} if gpu else {}
    subject = f"GPU {gpu}" if gpu else "NVML"
    return kind(f"{subject}: {said(err, call)}; {advice}", code=err.value, call=call, **about)


def said(err: pynvml.NVMLError, call: str) -> str:
    """What NVML said, in one line."""
    return f"{call}: {err} ({err.value})"
