"""From a crash or hang of NVML to the GPU that caused it: the others must be asked on.

NVML asks all GPUs in one process, so that one sick GPU could keep a node's whole inventory from being read. When the
worker dies under a question about all, each GPU is tried alone; the guilty are left out until they survive a trial.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydra_core import PydraError
from pydra_core.errors import VendorCrashedError, VendorQuarantinedError, VendorTimeoutError
from pydra_core.sdk import Sdk

if TYPE_CHECKING:
    from pydra_core.driver import Driver
    from pydra_nvidia import nvml
else:
    nvml = Sdk("pydra_nvidia.nvml")

_log = logging.getLogger(__name__)
_FATAL = (VendorCrashedError, VendorTimeoutError)
_LONG = 5.0
"""Seconds in which one GPU must answer all questions."""


class Blame:
    """Asks about all GPUs but those that took the library down.

    Args:
        driver: whose SDK is called.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._guilty: dict[str, str] = {}
        self._court = asyncio.Lock()

    async def ask(self, operation: Any, root: str, seconds: float) -> Any:
        """Call `nvml.snapshot` or `nvml.health`.

        Raises:
            PydraError: as it failed, and no single GPU is to blame.
        """
        before = {**self._guilty}
        try:
            return await self._driver.sdk(operation, root, before, timeout=seconds)
        except _FATAL:
            async with self._court:
                if before == self._guilty and not await self._found(root):
                    raise
        return await self._driver.sdk(operation, root, self._guilty, timeout=seconds)

    @property
    def guilty(self) -> Mapping[str, str]:
        """The GPUs that are left out, by index, and why."""
        return {**self._guilty}

    async def find(self, root: str) -> None:
        """Something took NVML down that asked otherwise: see who does.

        Raises:
            PydraError: NVML cannot be used at all.
        """
        async with self._court:
            await self._found(root)

    async def acquit(self, root: str) -> None:
        """Try those that are left out; one that survives it is asked again from now on."""
        async with self._court:
            for index in [*self._guilty]:
                if not await self._trial(root, int(index)):
                    del self._guilty[index]
                    _log.info("GPU answers again", extra={"gpu": index})

    async def _found(self, root: str) -> bool:
        """Try each GPU that is still asked; whether any is to blame."""
        count = await self._driver.sdk(nvml.count, root)
        new: dict[str, str] = {}
        for index in map(str, range(count)):
            if index not in self._guilty and (why := await self._trial(root, int(index))):
                new[index] = why
        if len(new) + len(self._guilty) == count:
            return False  # it is the library, not this or that GPU
        for index, why in new.items():
            extra = {"gpu": index, "why": why}
            _log.error("GPU takes NVML down and is not asked any more", extra=extra)
        self._guilty |= new
        return bool(new)

    async def _trial(self, root: str, index: int) -> str:
        """What a GPU does to the library; empty if nothing."""
        try:
            await self._driver.sdk(nvml.try_out, root, index, timeout=_LONG)
        except (*_FATAL, VendorQuarantinedError) as err:
            return f"GPU {index}: {told(err)}"
        return ""


@contextmanager
def named(what: str) -> Iterator[None]:
    """Let a crash or hang of NVML during the block say of which GPU, and in which call."""
    try:
        yield
    except (VendorCrashedError, VendorTimeoutError) as err:
        raise type(err)(f"{what}: {told(err)}: {err}", **err.fields) from None


def told(err: PydraError) -> str:
    """How a call of NVML ended the worker, with the call's name."""
    fields: Mapping[str, object] = err.fields
    call = re.search(r" in (nvml\w+)", str(fields.get("trace", "")))
    how = f"ended by {fields['signal']}" if fields.get("signal") else "does not end"
    if isinstance(err, VendorQuarantinedError):
        return "took NVML down repeatedly"
    return f"{call[1] if call else 'NVML'} {how}"
