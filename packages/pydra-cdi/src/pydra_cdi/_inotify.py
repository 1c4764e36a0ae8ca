"""Linux' inotify(7): a descriptor that tells what happens in directories. `watching` is the only caller.

The standard library does not have it, so this speaks to libc.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CREATE = 0x100
GONE = 0x400 | 0x800 | 0x2000 | 0x8000  # deleted, moved, unmounted, no longer watched
OVERFLOW = 0x4000
# Attributes, end of writing, moved from and to, made, removed; the directory itself deleted or moved.
_WATCHED = 0x4 | 0x8 | 0x40 | 0x80 | CREATE | 0x200 | 0x400 | 0x800
_ONLY_DIRECTORIES = 0x1000000
_HEADER = struct.Struct("iIII")
_BUFFER = 64 * 1024


class Event(NamedTuple):
    """Something happened to `name` in the directory of a watch, or to the directory itself (no name)."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One inotify instance.

    Raises:
        OSError: There are too many instances, watches or open files, or a path cannot be watched.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self._checked(
            self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify"
        )

    def watch(self, directory: Path) -> int:
        """Watch a directory; a link is followed. Watching one twice gives the same number."""
        path = os.fsencode(directory)
        mask = _WATCHED | _ONLY_DIRECTORIES
        return self._checked(
            self._libc.inotify_add_watch(self.descriptor, path, mask), str(directory)
        )

    def forget(self, watch: int) -> None:
        """Stop watching; a directory that is gone is not watched any more already."""
        self._libc.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> list[Event]:
        """Take what has happened since the last call; does not wait."""
        events: list[Event] = []
        while True:
            try:
                data = os.read(self.descriptor, _BUFFER)
            except BlockingIOError:
                return events
            events.extend(_events(data))

    def close(self) -> None:
        os.close(self.descriptor)

    def _checked(self, result: int, subject: str) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), subject)
        return result


def _events(data: bytes) -> Iterator[Event]:
    place = 0
    while place < len(data):
        watch, mask, _, length = _HEADER.unpack_from(data, place)
        place += _HEADER.size
        name = data[place : place + length].rstrip(b"\0")
        place += length
        yield Event(watch, mask, os.fsdecode(name))
