"""The keeper's socket: one line in, one line out, and every connection on its own."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pydra_core.errors import ConfigError, HostError, PydraError
from pydra_nvidia.mps.folders import LONGEST
from pydra_nvidia.mps.keeper import MpsKeeper
from pydra_nvidia.mps.protocol import MOST_BYTES, SOCKET, answer_line, read_ask, refusal_line

_log = logging.getLogger(__name__)
_LOCK = "keeper.lock"
_READING = 10.0
"""Seconds for which somebody may be connected without asking anything."""


async def serve(folder: Path, keeper: MpsKeeper, stop: asyncio.Event, grace: float) -> None:
    """Be the only keeper of a folder until it is to stop.

    Args:
        folder: `NVIDIA_MPS_DIR`.
        keeper: what does the work.
        stop: set when it shall end.
        grace: seconds for what is being done then.

    Raises:
        ConfigError: another keeper is there, or the folder is of no use.
    """
    lock = _lock(folder)
    try:
        await keeper.recover()
        async with Serving(folder, keeper, grace).open():
            _log.info("serving", extra={"folder": folder})
            await stop.wait()
            _log.info("stopping", extra={"folder": folder})
        await keeper.close()
    finally:
        os.close(lock)
    _log.info("stopped", extra={"folder": folder})


class Serving:
    """Connections to the socket of a folder."""

    def __init__(self, folder: Path, keeper: MpsKeeper, grace: float) -> None:
        self._path = folder / SOCKET
        self._keeper = keeper
        self._grace = grace
        self._busy: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve during the block; at its end nothing new is taken, and what was begun is finished."""
        self._path.unlink(missing_ok=True)  # left by one that was killed: the lock is ours
        listening = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listening.bind(str(self._path))
        finally:
            os.umask(before)
        server = await asyncio.start_unix_server(self._connected, sock=listening, limit=MOST_BYTES)
        try:
            yield
        finally:
            self._path.unlink(missing_ok=True)
            server.close()
            self._keeper.stop()
            if self._busy:
                await asyncio.wait(self._busy, timeout=self._grace)
            for task in self._busy:
                task.cancel()
            await asyncio.gather(*self._busy, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._busy.add(task)
        try:
            writer.write(await self._answer(reader))
            await writer.drain()
        except ConnectionError:
            _log.debug("nobody waits for an answer any more")
        finally:
            self._busy.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            ask = read_ask(await _line(reader))
            return answer_line(await self._keeper.answer(ask))
        except PydraError as err:
            _log.warning("request refused", extra={"reason": err.reason, "why": str(err)})
            return refusal_line(err)
        except OSError as err:
            _log.exception("request failed")
            return refusal_line(HostError(f"MPS keeper: {err}; look at the node it runs on"))


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(_READING):
            return await reader.readline()
    except TimeoutError:
        raise HostError(f"MPS keeper: no request within {_READING:g} s") from None
    except ValueError:
        raise HostError(f"MPS keeper: a request of more than {MOST_BYTES} bytes") from None


def _lock(folder: Path) -> int:
    _check_length(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)  # tenants pass through it to the pipes of their daemon
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise ConfigError(
            f"NVIDIA_MPS_DIR: {folder} cannot be used: {err.strerror}; it must be a folder of the host the keeper may"
            " write to",
            key="NVIDIA_MPS_DIR",
            source="environment",
        ) from err
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        os.close(lock)
        raise ConfigError(
            f"NVIDIA_MPS_DIR: another keeper has {folder}; there is one on a node, stop it first",
            key="NVIDIA_MPS_DIR",
            source="environment",
        ) from err
    return lock


def _check_length(folder: Path) -> None:
    length = len(str(folder).encode())
    if not folder.is_absolute() or length > LONGEST:
        raise ConfigError(
            f"NVIDIA_MPS_DIR: {folder} has {length} bytes; it must be an absolute path of at most {LONGEST}, because"
            " the daemons' sockets lie below it",
            key="NVIDIA_MPS_DIR",
            source="environment",
        )
