"""The driver's way to the keeper of MPS daemons: one connection a request, so that either may start anew at any time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydra_core.errors import HostError
from pydra_nvidia.mps.protocol import (
    MOST_BYTES,
    SOCKET,
    Ask,
    AskAttach,
    AskCapabilities,
    AskDaemons,
    AskDetach,
    AskNews,
    ask_line,
    read_answer,
)
from pydra_nvidia.mps.values import Attached, Capabilities, DaemonState, Detached, MpsGpu, Tenant

_T = TypeVar("_T")
_COMING = 20.0
_PATIENCE = 120.0
"""Seconds: above all deadlines of the keeper's own, each of which ends in an error that says more."""


class KeeperAwayError(HostError):
    """Nobody answers; a keeper whose pod starts beside the driver's does soon."""

    @property
    def patience(self) -> float:
        """The kubelet itself would come back only after 60 to 90 seconds."""
        return _COMING


class Keeper:
    """The keeper that serves below a folder.

    Every method raises `KeeperAwayError` when nobody answers, and else what the keeper raised.
    """

    def __init__(self, folder: Path, patience: float = _PATIENCE) -> None:
        self._socket = folder / SOCKET
        self._patience = patience

    async def capabilities(self, gpu: MpsGpu) -> Capabilities:
        """What limits can be had on a GPU; found by trying, the first time within seconds.

        Raises:
            HostError: the tool that runs daemons is not there, or failed.
        """
        return await self._ask(AskCapabilities(gpu), Capabilities)

    async def attach(self, gpu: MpsGpu, tenant: Tenant) -> Attached:
        """Let a tenant on a GPU, and start its daemon if need be; again for the same tenant changes nothing.

        Raises:
            ClaimError: the limits cannot be had there, or not beside the tenants there are.
            DeviceError: the daemon died under its tenants; it starts again when they have left.
            HostError: the daemon cannot be started, or does not take what it is told.
        """
        return await self._ask(AskAttach(gpu, tenant), Attached)

    async def detach(self, gpu_uuid: str, claim_uid: str) -> Detached:
        """Take a claim off a GPU with all its shares; one that is not there is fine.

        Raises:
            DeviceBusyError: programs of the claim still run in its partition; try again when they have ended.
            HostError: the tool failed.
        """
        return await self._ask(AskDetach(gpu_uuid, claim_uid), Detached)

    async def daemons(self) -> tuple[DaemonState, ...]:
        """The state of every daemon that has tenants or should not be there, by UUID of the GPU."""
        return await self._ask(AskDaemons(), tuple[DaemonState, ...])

    async def news(self, seen: int) -> int:
        """Wait until a daemon dies.

        Args:
            seen: what was answered last; 0 the first time, which is answered at once.

        Returns:
            Another number after a death, and from another keeper; the same one after about a minute.
        """
        return await self._ask(AskNews(seen), int)

    async def _ask(self, ask: Ask, kind: type[_T]) -> _T:
        try:
            async with asyncio.timeout(self._patience):
                line = await self._exchange(ask)
        except TimeoutError:
            raise HostError(
                f"MPS keeper {self._socket}: does not answer within {self._patience:g} s; see the log of its pod"
            ) from None
        except (OSError, asyncio.LimitOverrunError, ValueError) as err:
            raise KeeperAwayError(
                f"MPS keeper {self._socket}: nobody answers there: {err}; start the keeper (chart value mps.enabled),"
                " with the same folder NVIDIA_MPS_DIR as the driver"
            ) from err
        if not line.endswith(b"\n"):
            raise KeeperAwayError(
                f"MPS keeper {self._socket}: ended before it answered; it is asked again"
            )
        return read_answer(line, kind)

    async def _exchange(self, ask: Ask) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._socket, limit=MOST_BYTES)
        try:
            writer.write(ask_line(ask))
            await writer.drain()
            return await reader.readline()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
