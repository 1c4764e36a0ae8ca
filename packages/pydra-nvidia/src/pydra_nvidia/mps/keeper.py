"""The keeper's work: every request to the GPU it is about, all GPUs side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydra_nvidia.mps.folders import gpu_folder, gpu_folders
from pydra_nvidia.mps.news import News
from pydra_nvidia.mps.protocol import Ask, AskAttach, AskCapabilities, AskDetach, AskNews
from pydra_nvidia.mps.shared_gpu import SharedGpu
from pydra_nvidia.mps.tool import Tool
from pydra_nvidia.mps.values import DaemonState

_log = logging.getLogger(__name__)


class MpsKeeper:
    """The daemons of a node, each for one GPU."""

    def __init__(self, folder: Path, find_tool: Callable[[], Tool], patience: float) -> None:
        self._folder = folder
        self._news = News()
        self._new = partial(SharedGpu, find_tool=find_tool, patience=patience, died=self._news.tell)
        self._gpus: dict[str, SharedGpu] = {}

    async def recover(self) -> None:
        """Find what the keeper before left."""
        for folder in gpu_folders(self._folder):
            self._gpus[folder.uuid] = self._new(folder)
        await asyncio.gather(*(gpu.recover() for gpu in self._gpus.values()))

    async def answer(self, ask: Ask) -> object:
        """Do what is asked.

        Raises:
            PydraError: what the one who asked shall be told.
        """
        if isinstance(ask, AskCapabilities):
            return await self._gpu(ask.gpu.uuid).capabilities(ask.gpu)
        if isinstance(ask, AskAttach):
            return await self._gpu(ask.gpu.uuid).attach(ask.gpu, ask.tenant)
        if isinstance(ask, AskDetach):
            return await self._gpu(ask.gpu).detach(ask.claim)
        if isinstance(ask, AskNews):
            return await self._news.after(ask.seen)
        return await self._daemons()

    def stop(self) -> None:
        """Keep nobody waiting for news."""
        self._news.end()

    async def close(self) -> None:
        """Leave daemons with tenants as they are, and end the others."""
        closed = (gpu.close() for gpu in self._gpus.values())
        for failed in await asyncio.gather(*closed, return_exceptions=True):
            if isinstance(failed, BaseException):
                _log.warning("idle MPS daemon is left behind", extra={"why": str(failed)})

    async def _daemons(self) -> tuple[DaemonState, ...]:
        states = await asyncio.gather(*(self._gpus[uuid].state() for uuid in sorted(self._gpus)))
        return tuple(state for state in states if state)

    def _gpu(self, uuid: str) -> SharedGpu:
        """The GPU of that UUID. Raises `ClaimError` if it is none."""
        folder = gpu_folder(self._folder, uuid)
        if uuid not in self._gpus:
            self._gpus[uuid] = self._new(folder)
        return self._gpus[uuid]
