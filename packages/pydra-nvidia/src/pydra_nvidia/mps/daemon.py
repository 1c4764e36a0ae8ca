"""One process of NVIDIA's daemon: started, found again, watched, ended. What it does is `control`'s business.

It is in a session of its own and holds nothing of the keeper's, so that it lives on when the keeper is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from pydra_core.errors import HostError
from pydra_nvidia.mps import files
from pydra_nvidia.mps.folders import GpuFolder
from pydra_nvidia.mps.tool import NAME, Order

_log = logging.getLogger(__name__)
OUTPUT = "daemon.out"
"""What a daemon prints, below the folder of its logs."""
_PROC = Path("/proc")
_SERVER = "nvidia-cuda-mps-"
_SESSION, _START = 3, 19
"""Of the fields after the name in /proc/N/stat."""
_MOST_WORDS = 300


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which process the daemon is: an ID is given again, an ID with its start is not."""

    pid: int
    started: int


class Daemon:
    """A process that runs, or ran. Used on the event loop alone."""

    def __init__(self, pid: int, pidfd: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self.why = ""
        self.flags: tuple[str, ...] = ()
        self.on_end: Callable[[], None] = lambda: None
        self._pidfd = pidfd
        self._child = child
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(pidfd, self._note_end)

    @property
    def alive(self) -> bool:
        """Whether it runs; true to the moment, not to when the loop was told."""
        if not self._ended.is_set() and _is_readable(self._pidfd):
            self._note_end()
        return not self._ended.is_set()

    async def wait(self, seconds: float) -> bool:
        """Whether it has ended by then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        return self._ended.is_set()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended gets none, nor does another in its place."""
        with contextlib.suppress(ProcessLookupError):
            if self.alive:
                signal.pidfd_send_signal(self._pidfd, number)

    def forget(self) -> None:
        """Watch it no more; it goes on."""
        if not self._ended.is_set():
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self.on_end = lambda: None
            if self._child:
                self._child.returncode = 0  # not waited for, and that is meant

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.why = _how(self._child.wait()) if self._child else "it ended"
        self._ended.set()
        self.on_end()


def start(order: Order, folder: GpuFolder) -> Daemon:
    """Start it. What it prints goes to a file beside its logs.

    Raises:
        HostError: the node has no room for another process.
    """
    folder.process.unlink(missing_ok=True)
    try:
        with (folder.log / OUTPUT).open("ab") as output:
            child = subprocess.Popen(
                order.argv,
                env=order.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return Daemon(child.pid, _pidfd(child), child)
    except OSError as err:
        raise HostError(
            f"GPU {folder.uuid}: its MPS daemon cannot be started: {err.strerror}; look at the limits of the keeper's"
            " container, and at the folder of its logs"
        ) from err


def _pidfd(child: subprocess.Popen[bytes]) -> int:
    try:
        return os.pidfd_open(child.pid)
    except OSError:  # a kernel without them; what nobody can watch shall not be
        child.kill()
        child.wait()
        raise


def find(folder: GpuFolder) -> Daemon | None:
    """The daemon of this folder that an earlier keeper started, if it still runs."""
    try:
        note = files.read(folder.process, _Note)
    except HostError:
        return None
    if note is None:
        return None
    try:
        pidfd = os.pidfd_open(note.pid)
    except OSError:
        return None
    if _is_it(note):  # asked after the descriptor holds whatever has the ID
        found = Daemon(note.pid, pidfd)
        found.flags = tuple(_read(note.pid, "cmdline").split("\0"))
        return found
    os.close(pidfd)
    return None


def end_leftovers(folder: GpuFolder) -> None:
    """End what a daemon that is gone left behind: its servers, which hold the GPU."""
    with contextlib.suppress(HostError):
        note = files.read(folder.process, _Note)
        for pid in _servers(note.pid, folder) if note else ():
            _log.warning(
                "MPS server without its daemon ended", extra={"gpu": folder.uuid, "pid": pid}
            )
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    folder.process.unlink(missing_ok=True)


def last_words(folder: GpuFolder) -> str:
    """What the daemon printed, its first line and its last: a refusal may be followed by pages of help."""
    try:
        text = (folder.log / OUTPUT).read_text(errors="replace")
    except OSError:
        return ""
    lines = [" ".join(line.split())[:_MOST_WORDS] for line in text.splitlines() if line.strip()]
    return " … ".join(dict.fromkeys((lines[0], lines[-1]))) if lines else ""


def _is_readable(fd: int) -> bool:
    asked = select.poll()
    asked.register(fd, select.POLLIN)
    return bool(asked.poll(0))


def _how(status: int) -> str:
    if status < 0:
        return f"it was ended by {signal.Signals(-status).name}"
    return f"it exited with {status}"


def _is_it(note: _Note) -> bool:
    fields = _stat(note.pid)
    return (
        bool(fields) and int(fields[_START]) == note.started and NAME in _read(note.pid, "cmdline")
    )


def _servers(session: int, folder: GpuFolder) -> Iterator[int]:
    """Processes of the daemon's session that are NVIDIA's, and for this folder: an ID alone may be another's by now."""
    pipe = f"CUDA_MPS_PIPE_DIRECTORY={folder.pipe}"
    for path in _PROC.iterdir():
        if not path.name.isdigit():
            continue
        fields, pid = _stat(int(path.name)), int(path.name)
        if len(fields) > _SESSION and int(fields[_SESSION]) == session and pid != session:
            ours = pipe in _read(pid, "environ").split("\0")
            if ours and _SERVER in _read(pid, "cmdline"):
                yield pid


def _stat(pid: int) -> list[str]:
    """The fields after the name; none for a process that is gone, or only waits to be reaped."""
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return [] if not fields or fields[0] in "ZX" else fields


def _read(pid: int, name: str) -> str:
    try:
        return (_PROC / str(pid) / name).read_text(errors="replace")
    except OSError:
        return ""
