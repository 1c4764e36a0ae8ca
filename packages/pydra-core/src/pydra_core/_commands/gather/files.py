"""Reads files below a directory without ever leaving it: no link is followed, nothing but plain files is opened.

The bundle is made as root and sent to strangers; a link in a directory that others may write to must not bring
another file into it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LARGEST = 8 << 20
"""Bytes of one file in a bundle."""

_TYPES = {
    stat.S_IFSOCK: "socket",
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
}


class NotGatheredError(Exception):
    """A file stays out of the bundle; the text says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory."""

    name: str
    type: str
    mode: str
    uid: int
    size: int


@contextmanager
def directory(root: Path, *steps: str) -> Iterator[int]:
    """A descriptor of a directory below `root`, which itself may be reached by links.

    Raises:
        NotGatheredError: it is not there, is a link, or may not be looked at.
    """
    held: list[int] = []
    where = root
    try:
        try:
            held.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            for step in steps:
                where = where / step
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                held.append(os.open(step, flags, dir_fd=held[-1]))
        except OSError as err:
            raise NotGatheredError(f"{where}: {err.strerror}") from err
        yield held[-1]
    finally:
        for descriptor in held:
            os.close(descriptor)


def listing(root: Path, *steps: str) -> list[Entry]:
    """What is in a directory, by name. Raises `NotGatheredError`."""
    with directory(root, *steps) as descriptor:
        return [_entry(name, descriptor) for name in sorted(os.listdir(descriptor))]  # noqa: PTH208 (a path could lead elsewhere)


def read(root: Path, steps: Sequence[str], *, tail: bool = False) -> bytes:
    """A file's content; of one that is too large the end, if `tail` asks for it. Raises `NotGatheredError`."""
    path = root.joinpath(*steps)
    with directory(root, *steps[:-1]) as descriptor:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            opened = os.open(steps[-1], flags, dir_fd=descriptor)
        except OSError as err:
            raise NotGatheredError(f"{path}: {err.strerror}") from err
    with os.fdopen(opened, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise NotGatheredError(f"{path}: is no plain file")
        if status.st_size > LARGEST:
            if not tail:
                raise NotGatheredError(
                    f"{path}: {status.st_size} bytes, at most {LARGEST} are taken"
                )
            file.seek(-LARGEST, os.SEEK_END)
        return file.read(LARGEST)


def _entry(name: str, descriptor: int) -> Entry:
    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    kind = _TYPES.get(stat.S_IFMT(status.st_mode), "other")
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    return Entry(name, kind, mode, status.st_uid, status.st_size)
