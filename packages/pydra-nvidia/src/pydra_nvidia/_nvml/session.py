"""NVML, loaded and begun, and what its errors mean: the one module that imports `pynvml`.

`pynvml` looks for the library by name alone, so it is loaded here from the driver root, by its path, before the first
call. Its errors become ours here, once.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pynvml

from pydra_core.errors import (
    DeviceBusyError,
    DeviceGoneError,
    DeviceUnhealthyError,
    PydraError,
    VendorError,
    VendorReloadError,
)
from pydra_nvidia.library import FOLDERS, NVML, found

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

_begun: list[str] = []


def begin(root: str) -> None:
    """Load NVML from a driver root and begin it, unless that was done.

    Raises:
        VendorError: there is no library, or no kernel module; or another root was in use before.
        VendorReloadError: library and kernel module are of different versions.
    """
    if _begun and _begun != [root]:
        raise VendorError(
            f"NVML: is loaded from driver root {_begun[0]}, not {root}; one driver has one root"
        )
    if _begun:
        return
    pynvml.nvmlLib = _library(Path(root))
    try:
        pynvml.nvmlInitWithFlags(pynvml.NVML_INIT_FLAG_NO_GPUS)
    except pynvml.NVMLError as err:
        raise meaning(err, "nvmlInit") from err
    _begun.append(root)


def meaning(err: pynvml.NVMLError, call: str, gpu: str = "") -> PydraError:
    """What an error of NVML is to us, in words that say what to do."""
    kind, advice = _MEANS.get(err.value, _OTHERWISE)
    if _begun and err.value in RELOAD:
        kind = VendorReloadError
    about: dict[str, object] = {"device": gpu} if gpu else {}
    subject = f"GPU {gpu}" if gpu else "NVML"
    return kind(f"{subject}: {said(err, call)}; {advice}", code=err.value, call=call, **about)


def said(err: pynvml.NVMLError, call: str) -> str:
    """What NVML said, in one line."""
    return f"{call}: {err} ({err.value})"


class Asking:
    """Asks one GPU, and goes on when it cannot answer: what failed is in `faults`.

    A lost GPU is not asked again, since each question may take it seconds: it is `silent`, as one that could not be
    opened is.
    """

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.faults: list[str] = []
        self.lost = self.silent = False
        self.refusal: pynvml.NVMLError | None = None
        self._code = int(pynvml.NVML_SUCCESS)

    def __call__(self, name: str, *arguments: Any) -> Any:
        """Call a function of pynvml for this GPU; None if there is no answer.

        Raises:
            VendorReloadError: the library is of no use any more.
        """
        if self.silent:
            return None
        self._code = int(pynvml.NVML_SUCCESS)
        try:
            return getattr(pynvml, name)(self.handle, *arguments)
        except pynvml.NVMLError as err:
            if err.value in RELOAD:
                raise meaning(err, name) from err
            self._code = int(err.value)
            self.lost = self.silent = err.value in LOST
            if err.value not in ABSENT:
                self.faults.append(said(err, name))
        except UnicodeDecodeError:
            self.faults.append(f"{name}: what it says is no text")
        return None

    def one(self, name: str, *arguments: Any) -> Any:
        """Call a function that gives one of several: that there is no such one is no fault."""
        before = len(self.faults)
        told = self(name, *arguments)
        if told is None and self._code in NO_SUCH:
            del self.faults[before:]
        return told

    def do(self, name: str, *arguments: Any) -> bool:
        """Call a function that returns nothing; whether it was done."""
        self(name, *arguments)
        return not self.silent and self._code == int(pynvml.NVML_SUCCESS)

    def hears(self, part: Asking) -> None:
        """A GPU is lost when a part of it is."""
        self.lost = self.lost or part.lost
        self.silent = self.silent or part.lost

    @property
    def no_more(self) -> bool:
        """Whether the last call was for one past the end."""
        return self._code == int(pynvml.NVML_ERROR_INVALID_ARGUMENT)

    def struct(self, name: str, kind: str, *arguments: Any) -> Any:
        """Call a function that fills a structure of pynvml, given by name; None if there is no answer."""
        made = getattr(pynvml, kind)()
        return None if self(name, *arguments, ctypes.byref(made)) is None else made


def fields(gpu: Asking, numbers: tuple[int, ...]) -> dict[int, int | None]:
    """NVML's numbered fields that are whole numbers; None for those it does not have."""
    told = gpu("nvmlDeviceGetFieldValues", list(numbers))
    if told is None:
        return {}
    return {value.fieldId: _whole(value) for value in told}


def _whole(value: Any) -> int | None:
    if value.nvmlReturn != pynvml.NVML_SUCCESS:
        return None
    wide = value.valueType in {
        pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG,
        pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG,
    }
    return int(value.value.ullVal if wide else value.value.uiVal)


def of_system(name: str) -> Any:
    """Call a function of pynvml that is about the node.

    Raises:
        PydraError: as it failed.
    """
    try:
        return getattr(pynvml, name)()
    except pynvml.NVMLError as err:
        raise meaning(err, name) from err


def opened(index: int) -> Asking:
    """A GPU by index, to be asked; one that cannot be opened has said so and is never asked."""
    try:
        return Asking(pynvml.nvmlDeviceGetHandleByIndex(index))
    except pynvml.NVMLError as err:
        if err.value in RELOAD:
            raise meaning(err, "nvmlDeviceGetHandleByIndex") from err
        silent = Asking(None)
        silent.silent, silent.lost, silent.refusal = True, err.value in LOST, err
        silent.faults.append(said(err, "nvmlDeviceGetHandleByIndex"))
        return silent


def _library(root: Path) -> ctypes.CDLL:
    problems = []
    for path in found(root):
        try:
            return ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError as err:  # of another architecture, or broken: the next folder may hold ours
            problems.append(str(err))
    if root == Path("/"):
        try:
            return ctypes.CDLL(NVML, mode=ctypes.RTLD_GLOBAL)
        except OSError as err:
            problems.append(str(err))
    why = "; ".join(problems) or f"{NVML} is in none of {', '.join(FOLDERS)}"
    raise VendorError(
        f"driver root {root}: {why}; install the NVIDIA driver there, or name the root it is in"
    )


class EventSet:
    """NVML's wait for events of the GPUs that were registered with it."""

    LOST = object()
    """What `wait` returns when some GPU is lost; NVML does not say which."""

    def __init__(self) -> None:
        try:
            self.handle = pynvml.nvmlEventSetCreate()
        except pynvml.NVMLError as err:
            raise meaning(err, "nvmlEventSetCreate") from err

    def wait(self, milliseconds: int) -> Any:
        """The next event; None if there was none in time.

        Raises:
            PydraError: waiting itself does not work.
        """
        try:
            return pynvml.nvmlEventSetWait(self.handle, milliseconds)
        except pynvml.NVMLError as err:
            if err.value == pynvml.NVML_ERROR_TIMEOUT:
                return None
            if err.value in LOST:
                return self.LOST
            raise meaning(err, "nvmlEventSetWait") from err

    def close(self) -> None:
        """Wait for nothing more."""
        try:
            pynvml.nvmlEventSetFree(self.handle)
        except pynvml.NVMLError as err:
            raise meaning(err, "nvmlEventSetFree") from err

    @staticmethod
    def address(handle: Any) -> int | None:
        """What tells whether two handles are of the same GPU."""
        return ctypes.cast(handle, ctypes.c_void_p).value


def required(gpu: Asking, name: str, call: str, *arguments: Any) -> Any:
    """Call a function of pynvml for a GPU that must answer.

    Raises:
        PydraError: as it failed, with the GPU's name.
    """
    if gpu.refusal is not None:
        raise meaning(gpu.refusal, "nvmlDeviceGetHandleByIndex", name)
    try:
        return getattr(pynvml, call)(gpu.handle, *arguments)
    except pynvml.NVMLError as err:
        raise meaning(err, call, name) from err
