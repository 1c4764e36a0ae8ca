"""The journal's file: open and repair, append, sync, compact. Called from one thread only.

Everything here assumes `kill -9` between any two lines. A frame that cannot be read is never thrown away
unseen: the whole damaged file is kept beside the journal first.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from pydra_core._state import frames, records
from pydra_core._state.ledger import Ledger
from pydra_core.errors import ConfigError, HostError

_log = logging.getLogger(__name__)


class LogFile:
    """An open journal. Holds an exclusive lock, so a second driver of the same name is refused."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal at `path`.

        Raises:
            ConfigError: another driver holds it, or it was written by a newer version of this framework.
            HostError: the directory or file cannot be used.
        """
        self.path = path
        self.ledger = Ledger()
        self.size = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as err:
            raise _host_error(path, "cannot be opened", err) from err
        try:
            self._lock()
            self._load()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._directory)

    def append(self, record: records.Record) -> None:
        """Write one record behind the others, all of it or none, and apply it to the ledger."""
        data = frames.frame(records.encode(record))
        try:
            _write_all(self._fd, data, self.size)
        except OSError as err:
            raise _host_error(self.path, "cannot be written", err) from err
        self.size += len(data)
        self.ledger.apply(record)

    def sync(self) -> None:
        """Return once everything appended survives a power cut."""
        try:
            os.fdatasync(self._fd)
        except OSError as err:
            raise _host_error(self.path, "cannot be synced", err) from err

    def compact(self) -> None:
        """Rewrite the journal as the shortest log of the present state: temp file, sync, rename, sync."""
        temp = self.path.with_name(self.path.name + ".new")
        data = _image(self.ledger.records())
        try:
            fd = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(
                    fd, fcntl.LOCK_EX | fcntl.LOCK_NB
                )  # the name never points to an unlocked file
                _write_all(fd, data, 0)
                os.fsync(fd)
                temp.rename(self.path)
            except OSError:
                os.close(fd)
                raise
            os.fsync(self._directory)
        except OSError as err:
            raise _host_error(self.path, "cannot be compacted", err) from err
        os.close(self._fd)
        self._fd, self.size = fd, len(data)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise ConfigError(
                f"journal {self.path}: another driver of this name is running on this node; stop it first",
                key="kubelet_root",
                source=str(self.path),
            ) from err

    def _load(self) -> None:
        data = _read_all(self._fd)
        if len(data) < frames.HEADER_SIZE and frames.header(records.FORMAT).startswith(data):
            self._start_afresh()  # new, or killed while the header was written
            return
        version = frames.version_of(data)
        if version is not None and version > records.FORMAT:
            raise ConfigError(
                f"journal {self.path}: written by a newer driver (format {version}, this one reads"
                f" {records.FORMAT}); run that version again or drain the node before going back",
                key="journal",
                source=str(self.path),
            )
        damages = (
            [] if version == records.FORMAT else [frames.Damage(0, len(data), "no journal header")]
        )
        if not damages:
            damages = self._replay(data)
        self.size = len(data)
        if damages:
            self._set_aside(data, damages)
            self.compact()

    def _start_afresh(self) -> None:
        head = frames.header(records.FORMAT)
        try:
            _write_all(self._fd, head, 0)
            os.ftruncate(self._fd, len(head))
            os.fsync(self._fd)
            os.fsync(self._directory)
        except OSError as err:
            raise _host_error(self.path, "cannot be created", err) from err
        self.size = len(head)

    def _replay(self, data: bytes) -> list[frames.Damage]:
        damages: list[frames.Damage] = []
        for item in frames.read(data, frames.HEADER_SIZE):
            if isinstance(item, frames.Damage):
                damages.append(item)
                continue
            try:
                self.ledger.apply(records.decode(item.payload))
            except msgspec.DecodeError as err:
                damages.append(frames.Damage(item.end - len(item.payload), item.end, str(err)))
        return damages

    def _set_aside(self, data: bytes, damages: list[frames.Damage]) -> None:
        """Keep the damaged file for a person, unless it is only the torn end of an interrupted write."""
        first = damages[0]
        if first.end == len(data) and "torn" in first.why:
            _log.info(
                "journal ended in a torn record", extra={"path": self.path, "offset": first.start}
            )
            return
        aside = self.path.with_name(f"{self.path.name}.damaged-{len(data)}-{first.start}")
        try:
            aside.write_bytes(data)
        except OSError as err:
            raise _host_error(aside, "cannot keep the damaged journal", err) from err
        _log.error(
            "journal was damaged: readable records are kept, the file was set aside",
            extra={"path": self.path, "aside": aside, "offset": first.start, "why": first.why},
        )


def _image(entries: Iterable[records.Record]) -> bytes:
    body = b"".join(frames.frame(records.encode(record)) for record in entries)
    return frames.header(records.FORMAT) + body


def _write_all(fd: int, data: bytes, offset: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(fd, data[written:], offset + written)


def _read_all(fd: int) -> bytes:
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        return file.read()


def _host_error(path: Path, what: str, err: OSError) -> HostError:
    return HostError(
        f"journal {path}: {what}: {err.strerror or err}; check space, permissions and that the file system is not"
        " read-only",
        path=str(path),
    )
