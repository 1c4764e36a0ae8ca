"""Bytes of the journal on their way to the disk and back; `log_file` is the caller."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydra_core._state import frames, records
from pydra_core.errors import ConfigError, HostError

OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


def open_directory(path: Path) -> int:
    """Make and open the directory of the file at `path`, sure to be there after a power cut.

    Raises:
        ConfigError: it cannot be made or opened.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync_name_of(path.parent)
        except BaseException:
            os.close(directory)
            raise
    except OSError as err:
        raise cannot_open(path, err) from err
    return directory


def open_file(path: Path) -> int:
    """Open or create the journal.

    Raises:
        ConfigError: it cannot be opened.
    """
    try:
        return os.open(path, OPEN, 0o600)
    except OSError as err:
        raise cannot_open(path, err) from err


def cannot_open(path: Path, err: OSError) -> ConfigError:
    """Say what an operator must look at."""
    return ConfigError(
        f"journal {path}: cannot be opened: {err.strerror}; it must lie in a directory this driver may write"
        " to, on a file system that is not read-only: check the mount below the kubelet root",
        key="kubelet_root",
        source=str(path),
    )


def image(entries: Iterable[records.Record]) -> bytes:
    """A whole journal of these records."""
    body = b"".join(frames.frame(records.encode(entry)) for entry in entries)
    return frames.header(records.FORMAT) + body


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of it, however often the kernel takes only a part."""
    written = 0
    while written < len(data):
        written += os.pwrite(fd, data[written:], offset + written)


def read_all(fd: int, offset: int = 0) -> bytes:
    """Read from `offset` to the end."""
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(offset)
        return file.read()


@contextmanager
def host_errors(path: Path, what: str) -> Iterator[None]:
    """The journal's disk is the node's business, whatever is wrong with it."""
    try:
        yield
    except OSError as err:
        raise HostError(
            f"journal {path}: {what}: {err.strerror}; check space and health of its disk, and that the file system"
            " is not read-only",
            path=str(path),
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
