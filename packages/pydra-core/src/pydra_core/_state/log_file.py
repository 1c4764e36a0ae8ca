"""The journal's file: open and repair, follow others, append, sync, rewrite. Never called by two threads at once.

Everything here assumes `kill -9` or a power cut between any two lines, and a disk that may fail at any of
them. Two rules follow. The ledger learns that a claim is prepared or released only once that is on disk, so
that nothing is ever answered from memory alone. And after a failure the file is not trusted: the kernel may
have dropped what it could not write, so the next change first writes everything anew, into a new file.

Two instances may have the file open. Whoever changes or reads it holds the lock, follows first what the other
wrote, and syncs before letting go: outside the lock nothing is half done.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydra_core._state import disk, frames, records
from pydra_core._state.ledger import Ledger
from pydra_core._state.locks import LockFile
from pydra_core._state.reading import Reading, read, replay
from pydra_core.errors import ConfigError, HostError

_log = logging.getLogger(__name__)
_WRITER = 0
_PATIENCE = 10.0


class LogFile:
    """An open journal, shared with other instances of the driver by the lock file beside it."""

    def __init__(self, path: Path, locks: LockFile) -> None:
        """Open or create the journal at `path`.

        Raises:
            ConfigError: it cannot be opened, or a newer version of this framework wrote it.
            HostError: it can be neither rewritten nor synced.
        """
        self.path = path
        self.ledger = Ledger()
        self.size = 0
        self.adopts = False
        self._locks = locks
        self._begun = 0
        self._owed = False
        self._unsynced: list[records.Record] = []
        self._distrusted = False
        self._damaged = b""
        self._directory = disk.open_directory(path)
        try:
            self._fd = disk.open_file(path)
            try:
                with locks.holding(_WRITER, _PATIENCE):
                    self._load()
            except BaseException:
                os.close(self._fd)
                raise
        except BaseException:
            os.close(self._directory)
            raise

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._directory)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep others from the file during the block, with all they wrote before in the ledger.

        Raises:
            HostError: another instance does not let go, or what it wrote cannot be read.
        """
        with self._locks.holding(_WRITER, _PATIENCE):
            with disk.host_errors(self.path, "cannot be read"):
                self._follow()
            yield

    def take_calm(self) -> bool:
        """Keep others from the file, if that can be had at once and an append would be all there is to do."""
        if self._distrusted or not self._locks.take(_WRITER):
            return False
        if moved := self.moved:
            self.let_go()
        return not moved

    def let_go(self) -> None:
        """End what `take_calm` began."""
        self._locks.release(_WRITER)

    @property
    def unsynced(self) -> bool:
        """Whether a sync is owed for something appended as durable."""
        return self._owed

    @property
    def moved(self) -> bool:
        """Whether others seem to have changed the file; quick, and may be wrong while we write."""
        try:
            status = self.path.stat()
        except OSError:
            return True
        return status.st_size != self.size or not os.path.samestat(status, os.fstat(self._fd))

    def append(self, entries: Sequence[records.Record], *, durable: bool) -> None:
        """Write records behind the others, all of them or none.

        The ledger learns of them at once, but of `durable` ones only at the next `sync`. A reservation
        counts at once in any case: that errs on the side of holding a device.

        Raises:
            HostError: nothing was written.
        """
        data = b"".join(self._frame(entry) for entry in entries)
        with disk.host_errors(self.path, "cannot be written"):
            if self._distrusted and entries:
                self.rewrite()
            try:
                disk.write_all(self._fd, data, self.size)
            except OSError:
                self._cut_off()
                raise
        self.size += len(data)
        self._owed = self._owed or (durable and bool(entries))
        for entry in entries:
            if durable and not self._reserves(entry):
                self._unsynced.append(entry)
            else:
                self.ledger.apply(entry)

    def sync(self) -> None:
        """Return once everything appended survives a power cut, and let the ledger know of it.

        Raises:
            HostError: what was appended as `durable` since the last sync counts as never written.
        """
        entries, self._unsynced, self._owed = self._unsynced, [], False
        with disk.host_errors(self.path, "cannot be synced"):
            try:
                if self._distrusted:
                    self.rewrite(entries)
                else:
                    os.fdatasync(self._fd)
            except OSError:
                self._distrusted = True
                self._hide()
                raise
        for entry in entries:
            self.ledger.apply(entry)

    def rewrite(self, more: Sequence[records.Record] = ()) -> None:
        """Write the shortest log of the present state into a new file, and put that in the journal's place.

        Raises:
            OSError: the journal is still the old file, or is the new one and not yet surely named so.
        """
        temp = self.path.with_name(self.path.name + ".new")
        image = disk.image([*self.ledger.records(), *self._unsynced, *more])
        fd = os.open(temp, disk.OPEN | os.O_TRUNC, 0o600)
        try:
            disk.write_all(fd, image, 0)
            os.fsync(fd)
            self._keep_damaged()
            temp.rename(self.path)
        except OSError:
            os.close(fd)
            with suppress(OSError):
                temp.unlink()
            raise
        os.close(self._fd)
        self._fd, self.size, self._distrusted = fd, len(image), True
        # until then, what is synced into the new file could be lost by name
        os.fsync(self._directory)
        self._distrusted = False

    def _load(self) -> None:
        """Read the file and make what was read durable, mended and of our format."""
        with disk.host_errors(self.path, "cannot be read"):
            reading = self._change_over() or self._take_in(self._fd)
        self.adopts = not reading.is_whole or not self.size
        self._settle(healthy=reading.version == records.FORMAT and not reading.damages)

    def _take_in(self, fd: int) -> Reading:
        data = disk.read_all(fd)
        reading = read(data)
        if reading.is_newer:
            raise ConfigError(
                f"journal {self.path}: written by a newer driver (format {reading.version}, this one reads"
                f" {records.FORMAT}); run that version again or drain the node before going back",
                key="journal",
                source=str(self.path),
            )
        self._report(data, reading.damages)
        self.ledger, self.size = reading.ledger, len(data)
        return reading

    def _follow(self) -> None:
        """Take in what other instances wrote since we held the lock."""
        if reading := self._change_over():
            self._distrusted = not reading.is_whole
        elif data := disk.read_all(self._fd, self.size):
            os.fdatasync(self._fd)  # the other one may have died before its sync
            damages = replay(data, 0, self.ledger)
            self.size += len(data)
            if damages:  # it died in the middle of a write, or the disk is at fault
                self._report(data, damages)
                self._distrusted = True
        self._begun = self.size

    def _change_over(self) -> Reading | None:
        """Read the file that has the journal's name now, if it is another one than we have open."""
        try:
            if os.path.samestat(os.fstat(self._fd), self.path.stat()):
                return None
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # somebody removed it: what we know is written anew
            self._distrusted = True
            return None
        try:
            reading = self._take_in(fd)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd = fd
        return reading

    def _settle(self, *, healthy: bool) -> None:
        """Make what was read durable: the process before may have been killed between a write and its sync."""
        try:
            self.rewrite()
        except OSError as err:
            with disk.host_errors(self.path, "cannot be synced"):
                os.fdatasync(self._fd)
                os.fsync(self._directory)  # it may have been killed after a rename as well
            self._distrusted = self._distrusted or not healthy
            _log.warning(
                "journal could not be rewritten at start, the old file stays in use; free space on its disk",
                extra={"path": self.path, "why": err.strerror},
            )

    def _report(self, data: bytes, damages: Sequence[frames.Damage]) -> None:
        """Say what cannot be read, and keep the file for a person unless it is only an interrupted write."""
        for damage in damages[:1]:
            details = {"path": self.path, "offset": damage.start, "why": damage.why}
            if damage.torn:
                _log.info("journal ended in a torn record", extra=details)
                continue
            self._damaged = data
            _log.error(
                "journal is damaged: readable records are kept, the file is set aside",
                extra={**details, "aside": self._aside()},
            )

    def _aside(self) -> Path:
        digest = hashlib.sha256(self._damaged).hexdigest()[:12]
        return self.path.with_name(f"{self.path.name}.damaged-{digest}")

    def _keep_damaged(self) -> None:
        """Give the damaged file a second name before it loses its own; needs no space on a full disk."""
        if self._damaged:
            with suppress(FileExistsError):  # killed just after this line, the last time
                os.link(self.path, self._aside())
            self._damaged = b""

    def _cut_off(self) -> None:
        """Remove what a failed write left behind the last record."""
        try:
            os.ftruncate(self._fd, self.size)
        except OSError:
            self._distrusted = True

    def _hide(self) -> None:
        """Leave nothing for another instance to read that counts as never written here."""
        with suppress(OSError):
            os.ftruncate(self._fd, self._begun)
            self.size = self._begun

    def _frame(self, entry: records.Record) -> bytes:
        try:
            records.check(entry)
            payload = records.encode(entry)
        except (TypeError, ValueError, OverflowError, RecursionError) as err:
            raise HostError(
                f"journal {self.path}: cannot hold claim {entry.uid}: {err}; `state` takes JSON values (a bug of the"
                " driver)",
                path=str(self.path),
            ) from err
        if len(payload) > frames.MAX_PAYLOAD:
            raise HostError(
                f"journal {self.path}: cannot hold claim {entry.uid}: {len(payload)} bytes of edits and state, the"
                f" limit is {frames.MAX_PAYLOAD} (a bug of the driver)",
                path=str(self.path),
            )
        return frames.frame(payload)

    def _reserves(self, entry: records.Record) -> bool:
        return isinstance(entry, records.Intent) and self.ledger.prepared(entry.uid) is None
