"""A host's file system below a directory, in which no path and no symlink leads out of that directory.

`lint`, injection and the command line look host paths of specs up with it. On a node the root is `/`; a debug pod has the
node below `/host`, where an absolute symlink means a path below `/host` too.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

_MOST_LINKS = 40
_LONGEST = 4096


class HostTree:
    """The tree below `root`; `..` of the root is the root, as in the file system of a container."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def is_symlink(self, path: str) -> bool:
        """Tell whether a symlink lies at a path, wherever it leads."""
        try:
            return stat.S_ISLNK(self.lstat(path).st_mode)
        except OSError:
            return False

    def lstat(self, path: str) -> os.stat_result:
        """Look at what lies at a path, without following a symlink in its place.

        Raises:
            OSError: There is nothing, a link of the way dangles, or it cannot be looked at.
        """
        return self._resolve(path, follow=False).lstat()

    def stat(self, path: str) -> os.stat_result:
        """Look at what lies at the end of a path's symlinks.

        Raises:
            OSError: There is nothing, a link of the way dangles, or it cannot be looked at.
        """
        return self._resolve(path, follow=True).lstat()

    def place(self, path: str) -> Path:
        """Tell where a path of the host lies here, or would lie where nothing is there yet.

        Raises:
            OSError: Symlinks lead in a circle.
        """
        return self._resolve(path, follow=True, must_exist=False)

    def _resolve(self, path: str, *, follow: bool, must_exist: bool = True) -> Path:
        if len(path) > _LONGEST or "\0" in path:
            raise OSError(errno.EINVAL, "it is no path a kernel takes")
        here: list[str] = []
        pending = deque(_parts(path))
        links = 0
        while pending:
            part = pending.popleft()
            if part == "..":
                del here[-1:]
                continue
            target = self._link(here, part, must_exist=must_exist) if pending or follow else None
            if target is None:
                here.append(part)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if target.startswith("/"):
                here.clear()
            pending.extendleft(reversed(list(_parts(target))))
        return self.root.joinpath(*here)

    def _link(self, here: list[str], part: str, *, must_exist: bool) -> str | None:
        try:
            return str(self.root.joinpath(*here, part).readlink())
        except OSError as error:
            if must_exist and error.errno != errno.EINVAL:  # which says: there, and no symlink
                raise
            return None


def _parts(path: str) -> Iterator[str]:
    return (part for part in path.split("/") if part not in {"", "."})
