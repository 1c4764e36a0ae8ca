"""A host's file system for a driver to read, made by a test; the pytest plugin's fixture `host_tree` is one.

A driver reads hardware below `self.host`: `AcmeDriver(host_tree.root)`.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostTree:
    """A folder in the place of `/`. Paths are as on the host: `/sys/class/...`, with or without the first slash."""

    root: Path

    def path(self, path: str) -> Path:
        """Where a host's path lies in the tree."""
        return self.root / path.lstrip("/")

    def write(self, path: str, content: str | bytes = "") -> Path:
        """Make a file, and the folders it lies in. A text gets no newline that is not in it."""
        file = self._placed(path)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def link(self, path: str, target: str) -> Path:
        """Make a symbolic link; `target` as it would stand on the host (an absolute one leaves the tree)."""
        link = self._placed(path)
        link.symlink_to(target)
        return link

    def device(self, path: str, major: int, minor: int) -> Path:
        """Make a character device node.

        Raises:
            PermissionError: not root, or a container without CAP_MKNOD.
        """
        node = self._placed(path)
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        return node

    def remove(self, path: str) -> None:
        """Remove a file, link or device node, as a hot-unplug does."""
        self.path(path).unlink()

    def _placed(self, path: str) -> Path:
        placed = self.path(path)
        placed.parent.mkdir(parents=True, exist_ok=True)
        return placed
