"""Locks that several instances of one driver share: byte ranges of one file, kept by the kernel.

A rolling upgrade runs two instances for a while. What they must know of each other is who writes the journal,
who is alive and who serves; the kernel forgets a lock with the process that held it, however it ended, so
nothing here can be stale. The file stays empty: it needs no space and no sync. Open-file-description locks
(`fcntl(2)`, "F_OFD_SETLK") belong to the open file, not to the process, so threads cannot lose them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydra_core.errors import ConfigError, HostError

_FLOCK = struct.Struct("hh4xqqi4x")  # struct flock of 64-bit Linux
_PAUSE = 0.002


class LockFile:
    """One open lock file. Close it to let go of everything."""

    def __init__(self, path: Path) -> None:
        """Open or create it, with its directory.

        Raises:
            ConfigError: it cannot be created or opened.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as err:
            raise ConfigError(
                f"lock file {path}: cannot be opened: {err.strerror}; it must lie in a directory this driver may"
                " write to, on a file system that is not read-only: check the mount below the kubelet root",
                key="kubelet_root",
                source=str(path),
            ) from err

    def close(self) -> None:
        os.close(self._fd)

    def take(self, start: int) -> bool:
        """Lock one byte if nobody else holds it; says whether we hold it now."""
        try:
            self._set(fcntl.F_WRLCK, start)
        except OSError as err:
            if err.errno in {errno.EAGAIN, errno.EACCES}:
                return False
            raise
        return True

    def release(self, start: int) -> None:
        """Let go of one byte."""
        self._set(fcntl.F_UNLCK, start)

    def held_elsewhere(self, start: int, length: int = 1) -> bool:
        """Whether somebody else holds a byte of the range."""
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
        answer = _FLOCK.unpack(fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, asked))
        return bool(answer[0] != fcntl.F_UNLCK)

    @contextmanager
    def holding(self, start: int, patience: float) -> Iterator[None]:
        """Hold one byte during the block; waits up to `patience` seconds for whoever has it.

        Raises:
            HostError: another instance kept it for that long.
        """
        until = time.monotonic() + patience
        while not self.take(start):
            if time.monotonic() > until:
                raise HostError(
                    f"lock file {self.path}: another instance of this driver has held it for {patience:.0f} seconds;"
                    " delete that instance's pod",
                    path=str(self.path),
                )
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            self.release(start)

    def _set(self, kind: int, start: int) -> None:
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, start, 1, 0))
