"""NVML's wait for what GPUs report."""

from __future__ import annotations

import ctypes
from typing import Any

from pydra_nvidia._nvml.errors import LOST, meaning, pynvml


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
