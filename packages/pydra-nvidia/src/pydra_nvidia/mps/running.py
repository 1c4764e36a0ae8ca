"""A daemon from its start to the first command it takes, and from the last one to its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydra_core.errors import HostError, VendorError, VendorTimeoutError
from pydra_nvidia.mps import daemon
from pydra_nvidia.mps.control import Control
from pydra_nvidia.mps.daemon import Daemon
from pydra_nvidia.mps.folders import GpuFolder

_log = logging.getLogger(__name__)
_LOOK = 0.05
_GRACE = 2
"""Seconds that servers get to end programs that are still connected."""
_LOGS = (daemon.OUTPUT, "control.log", "server.log")
_MOST_LOG = 1 << 20


class RefusedError(VendorError):
    """A daemon stays and takes no command: it is slow, or not spoken to as it expects."""


async def start(control: Control, flags: Sequence[str]) -> Daemon:
    """Start a daemon for one GPU, until it takes commands.

    Raises:
        VendorError: it ends at once; its own words are in the text.
        VendorTimeoutError: it takes no command in time; it is ended.
        HostError: the folder or the process cannot be made.
    """
    folder = control.folder
    folder.make()
    daemon.end_leftovers(folder)
    _set_aside(folder.log)
    env = {"CUDA_VISIBLE_DEVICES": folder.uuid}
    started = daemon.start(control.tool.daemon(folder, flags, env), folder)
    started.flags = tuple(flags)
    try:
        await _ready(control, started, flags)
        folder.make()  # the daemon gives its folder to everybody, to remove in it what is another's too
    except BaseException:
        started.signal(signal.SIGKILL)
        await started.wait(control.patience)
        daemon.end_leftovers(folder)
        raise
    details = {"gpu": folder.uuid, "pid": started.pid, "flags": " ".join(flags)}
    _log.debug("MPS daemon started", extra=details)
    return started


async def end(control: Control | None, running: Daemon, folder: GpuFolder) -> None:
    """End a daemon: by its own word, and by signals if it does not hear that.

    Args:
        control: its front end; None where there is none any more.
        running: the process.
        folder: its folder.

    Raises:
        HostError: it does not even end when it is killed.
    """
    seconds = control.patience if control else float(_GRACE)
    if control and running.alive:
        try:
            await control.quit(_GRACE)
            await running.wait(seconds)
        except VendorError as err:
            _log.warning("MPS daemon does not quit", extra={"gpu": folder.uuid, "why": str(err)})
    if running.alive:
        running.signal(signal.SIGKILL)
    if not await running.wait(seconds):
        raise HostError(
            f"GPU {folder.uuid}: its MPS daemon, process {running.pid}, does not end when it is killed; see the kernel"
            " log for the GPU, and restart the node if it hangs in the driver"
        )
    daemon.end_leftovers(folder)


async def _ready(control: Control, started: Daemon, flags: Sequence[str]) -> None:
    """Wait until it takes a command: one that hangs tells nothing, one that says no speaks another language."""
    refusals: list[str] = []
    try:
        async with asyncio.timeout(control.patience):
            while (said := await _refused(control, started, flags)) or not started.alive:
                refusals = [said]
                await started.wait(_LOOK)
    except TimeoutError:
        kind = RefusedError if any(refusals) else VendorTimeoutError
        raise kind(
            f"GPU {control.folder.uuid}: its MPS daemon takes no command within {control.patience:g} s; see its logs in"
            f" {': '.join((str(control.folder.log), *refusals))}"
        ) from None


async def _refused(control: Control, started: Daemon, flags: Sequence[str]) -> str:
    """What it says to the first command; empty if it takes it."""
    if not started.alive:
        said = daemon.last_words(control.folder) or "it says nothing"
        raise VendorError(
            f"GPU {control.folder.uuid}: its MPS daemon, started with {' '.join(('-f', *flags))}, does not stay:"
            f" {started.why}: {said}"
        )
    try:
        await control.hello()
    except VendorTimeoutError:
        raise
    except VendorError as err:
        return str(err)
    return ""


def trim(folder: GpuFolder) -> None:
    """Keep the logs of a daemon short: each command adds to them, and they lie in memory."""
    for name in _LOGS:
        path = folder.log / name
        with suppress(OSError):
            if path.stat().st_size > _MOST_LOG:
                path.with_name(f"{name}.before").write_bytes(path.read_bytes()[-_MOST_LOG:])
                os.truncate(path, 0)  # the daemon goes on writing to this very file


def _set_aside(log: Path) -> None:
    """Keep the logs of the daemon before, and none from before that."""
    for name in _LOGS:
        path = log / name
        if path.exists():
            path.replace(log / f"{name}.before")
