"""The journal's file: open and repair, append, sync, rewrite. Called from one thread only.

Everything here assumes `kill -9` or a power cut between any two lines, and a disk that may fail at any of
them. Two rules follow. The ledger learns that a claim is prepared or released only once that is on disk, so
that nothing is ever answered from memory alone. And after a failure the file is not trusted: the kernel may
have dropped what it could not write, so the next change first writes everything anew, into a new file.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from pydra_core._state import frames, records
from pydra_core._state.ledger import Ledger
from pydra_core.errors import ConfigError, HostError

_log = logging.getLogger(__name__)
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class LogFile:
    """An open journal. Holds an exclusive lock, so a second driver of the same name is refused."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal at `path`.

        Raises:
            ConfigError: it cannot be opened, another driver holds it, or a newer version of this framework
                wrote it.
            HostError: it can be neither rewritten nor synced.
        """
        self.path = path
        self.ledger = Ledger()
        self.size = 0
        self._unsynced: list[records.Record] = []
        self._distrusted = False
        self._damaged = b""
        self._fd, self._directory = _open(path)
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._directory)

    def append(self, entries: Sequence[records.Record], *, durable: bool) -> None:
        """Write records behind the others, all of them or none.

        The ledger learns of them at once, but of `durable` ones only at the next `sync`. A reservation
        counts at once in any case: that errs on the side of holding a device.

        Raises:
            HostError: nothing was written.
        """
        data = b"".join(self._frame(entry) for entry in entries)
        with _host_errors(self.path, "cannot be written"):
            if self._distrusted and entries:
                self.rewrite()
            try:
                _write_all(self._fd, data, self.size)
            except OSError:
                self._cut_off()
                raise
        self.size += len(data)
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
        entries, self._unsynced = self._unsynced, []
        with _host_errors(self.path, "cannot be synced"):
            try:
                if self._distrusted:
                    self.rewrite(entries)
                else:
                    os.fdatasync(self._fd)
            except OSError:
                self._distrusted = True
                raise
        for entry in entries:
            self.ledger.apply(entry)

    def rewrite(self, more: Sequence[records.Record] = ()) -> None:
        """Write the shortest log of the present state into a new file, and put that in the journal's place.

        Raises:
            OSError: the journal is still the old file, or is the new one and not yet surely named so.
        """
        temp = self.path.with_name(self.path.name + ".new")
        image = _image([*self.ledger.records(), *self._unsynced, *more])
        fd = os.open(temp, _OPEN | os.O_TRUNC, 0o600)
        try:
            fcntl.flock(
                fd, fcntl.LOCK_EX | fcntl.LOCK_NB
            )  # the name never points to an unlocked file
            _write_all(fd, image, 0)
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
        os.fsync(
            self._directory
        )  # until then, what is synced into the new file could be lost by name
        self._distrusted = False

    def _load(self) -> None:
        with _host_errors(self.path, "cannot be read"):
            data = _read_all(self._fd)
        version = frames.version_of(data)
        if version is not None and version > records.FORMAT:
            raise ConfigError(
                f"journal {self.path}: written by a newer driver (format {version}, this one reads"
                f" {records.FORMAT}); run that version again or drain the node before going back",
                key="journal",
                source=str(self.path),
            )
        damages = list(self._replay(data))
        self._report(data, damages)
        self.size = len(data)
        self._settle(healthy=version == records.FORMAT and not damages)

    def _settle(self, *, healthy: bool) -> None:
        """Make what was read durable: the process before may have been killed between a write and its sync."""
        try:
            self.rewrite()
        except OSError as err:
            with _host_errors(self.path, "cannot be synced"):
                os.fdatasync(self._fd)
                os.fsync(self._directory)  # it may have been killed after a rename as well
            self._distrusted = self._distrusted or not healthy
            _log.warning(
                "journal could not be rewritten at start, the old file stays in use; free space on its disk",
                extra={"path": self.path, "why": err.strerror},
            )

    def _replay(self, data: bytes) -> Iterator[frames.Damage]:
        """Apply what can be read, and yield what cannot."""
        head = frames.header(records.FORMAT)
        if not data.startswith(head) and not head.startswith(data):
            yield frames.Damage(0, len(head), "no journal header")
        for item in frames.read(data, len(head)):
            if isinstance(item, frames.Damage):
                yield item
                continue
            try:
                self.ledger.apply(records.decode(item.payload))
            except msgspec.DecodeError as err:
                yield frames.Damage(item.end - len(item.payload), item.end, str(err))

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

    def _frame(self, entry: records.Record) -> bytes:
        payload = records.encode(entry)
        if len(payload) > frames.MAX_PAYLOAD:
            raise HostError(
                f"journal {self.path}: cannot hold claim {entry.uid}: {len(payload)} bytes of edits and state, the"
                f" limit is {frames.MAX_PAYLOAD} (a bug of the driver)",
                path=str(self.path),
            )
        return frames.frame(payload)

    def _reserves(self, entry: records.Record) -> bool:
        return isinstance(entry, records.Intent) and self.ledger.prepared(entry.uid) is None


def _open(path: Path) -> tuple[int, int]:
    """Open and lock the journal, and open its directory; both are made if missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync_name_of(path.parent)
            return _locked(path), directory
        except BaseException:
            os.close(directory)
            raise
    except OSError as err:
        raise ConfigError(
            f"journal {path}: cannot be opened: {err.strerror}; it must lie in a directory this driver may write"
            " to, on a file system that is not read-only: check the mount below the kubelet root",
            key="kubelet_root",
            source=str(path),
        ) from err


def _sync_name_of(directory: Path) -> None:
    """Make sure the driver's own directory is still there after a power cut; those above are the kubelet's."""
    if directory.is_mount():
        return
    parent = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _locked(path: Path) -> int:
    while True:
        fd = os.open(path, _OPEN, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        except BlockingIOError as err:
            os.close(fd)
            raise ConfigError(
                f"journal {path}: another driver of this name is running on this node; stop it first",
                key="kubelet_root",
                source=str(path),
            ) from err
        except OSError:
            os.close(fd)
            raise
        os.close(fd)  # replaced between open and lock: that lock would guard a file nobody reads


def _image(entries: Iterable[records.Record]) -> bytes:
    body = b"".join(frames.frame(records.encode(entry)) for entry in entries)
    return frames.header(records.FORMAT) + body


def _write_all(fd: int, data: bytes, offset: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(fd, data[written:], offset + written)


def _read_all(fd: int) -> bytes:
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        return file.read()


@contextmanager
def _host_errors(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise HostError(
            f"journal {path}: {what}: {err.strerror}; check space and health of its disk, and that the file system"
            " is not read-only",
            path=str(path),
        ) from err
