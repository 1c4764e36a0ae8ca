"""Asking one GPU, or a part of one: bearing what it cannot answer, or insisting."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from pydra_nvidia._nvml.errors import ABSENT, LOST, NO_SUCH, RELOAD, meaning, pynvml, said


class Asking:
    """Asks one GPU, and goes on when it cannot answer: what failed is in `faults`.

    A lost GPU is not asked again, since each question may take it seconds: it is `silent`, as one that could not be
    opened is.
    """

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.faults: list[str] = []
        self.lost = self.silent = False
        self.refusal: tuple[pynvml.NVMLError, str] | None = None
        self._code = int(pynvml.NVML_SUCCESS)

    @classmethod
    def left_out(cls, why: str) -> Asking:
        """A GPU that is not asked anything."""
        silent = cls(None)
        silent.silent = True
        silent.faults.append(why)
        return silent

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
                self.refusal = self.refusal or (err, name)
        except UnicodeDecodeError:
            self.faults.append(f"{name}: what it says is no text")
        return None

    def one(self, name: str, *arguments: Any) -> Any:
        """Call a function that gives one of several: that there is no such one is no fault."""
        before, refusal = len(self.faults), self.refusal
        told = self(name, *arguments)
        if told is None and self._code in NO_SUCH:
            del self.faults[before:]
            self.refusal = refusal
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


def opened(index: int) -> Asking:
    """A GPU by index, to be asked; one that cannot be opened has said so and is never asked."""
    try:
        return Asking(pynvml.nvmlDeviceGetHandleByIndex(index))
    except pynvml.NVMLError as err:
        if err.value in RELOAD:
            raise meaning(err, "nvmlDeviceGetHandleByIndex") from err
        silent = Asking(None)
        silent.silent, silent.lost = True, err.value in LOST
        silent.refusal = (err, "nvmlDeviceGetHandleByIndex")
        silent.faults.append(said(err, "nvmlDeviceGetHandleByIndex"))
        return silent


def asked(index: int, left_out: Mapping[str, str]) -> Asking:
    """A GPU by index, to be asked unless it is one of those that are not, by index, with the reason."""
    why = left_out.get(str(index))
    return opened(index) if why is None else Asking.left_out(why)


def insist(gpu: Asking, name: str) -> None:
    """Go on only if everything so far was answered.

    Raises:
        PydraError: as the first question failed, with the GPU's name.
    """
    if gpu.refusal is not None:
        err, call = gpu.refusal
        raise meaning(err, call, name) from err


def required(gpu: Asking, name: str, call: str, *arguments: Any) -> Any:
    """Call a function of pynvml for a GPU that must answer.

    Raises:
        PydraError: as it failed, with the GPU's name.
    """
    if gpu.silent:
        insist(gpu, name)
    try:
        return getattr(pynvml, call)(gpu.handle, *arguments)
    except pynvml.NVMLError as err:
        raise meaning(err, call, name) from err


def fields(gpu: Asking, numbers: tuple[int, ...]) -> dict[int, int | None]:
    """NVML's numbered fields that are whole numbers; None for those it does not have.

    A driver that takes offence at a number it does not know is asked for one at a time.
    """
    told = gpu.one("nvmlDeviceGetFieldValues", list(numbers))
    if told is None and len(numbers) > 1 and gpu.no_more:
        return {n: value for number in numbers for n, value in fields(gpu, (number,)).items()}
    return {value.fieldId: _whole(value) for value in told or ()}


def _whole(value: Any) -> int | None:
    if value.nvmlReturn != pynvml.NVML_SUCCESS:
        return None
    wide = value.valueType in {
        pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG,
        pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG,
    }
    return int(value.value.ullVal if wide else value.value.uiVal)


def listed(gpu: Asking, call: str, kind: str, room: int, *arguments: Any) -> list[Any]:
    """Call a function that fills an array of the caller's; nothing if there is no answer.

    Args:
        gpu: a GPU, or a part of one.
        call: the function's name.
        kind: name of the array's type in pynvml.
        room: how many fit, more than there can be.
        arguments: what comes before the array.
    """
    array = (getattr(pynvml, kind) * room)()
    count = ctypes.c_uint(room)
    told = gpu.one(call, *arguments, array, ctypes.byref(count))
    return [] if told is None else list(array[: min(count.value, room)])
