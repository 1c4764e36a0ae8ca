"""Which registration sockets there are, and which of them is a new one under an old name.

Read by the reconciler at every look. The real kubelet learns of sockets by inotify but acts on them in
a loop of 1 s; looking at the directory in that loop sees the same things at the same times, so there
is no watch here. A socket that was removed and bound again between two looks has another identity.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SocketIdentity:
    """What tells two sockets at one path apart; the inode alone may be used again.

    The modification time is the time of bind: connecting, chmod and chown leave it.
    """

    device: int
    inode: int
    bound_ns: int


def registration_sockets(registry: Path) -> dict[str, SocketIdentity]:
    """All sockets below `registry`, sub-directories included; names that start with a dot are not."""
    return dict(_sockets(registry))


def _sockets(folder: Path) -> Iterator[tuple[str, SocketIdentity]]:
    try:
        entries = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            status = entry.stat()
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _sockets(entry)
        elif stat.S_ISSOCK(status.st_mode):
            yield str(entry), SocketIdentity(status.st_dev, status.st_ino, status.st_mtime_ns)
