"""Facts about device nodes of the host; injection asks for them where a spec leaves them out.

The host is a directory: `/` on a node, a folder of a test otherwise. Paths never lead out of a folder by `..`.
"""

from __future__ import annotations

import os
import posixpath
import stat
from pathlib import Path
from typing import NamedTuple

_TYPES = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p"}


class NodeFacts(NamedTuple):
    """What the host says about a device node; `file_mode` holds permission bits only."""

    type: str
    major: int
    minor: int
    file_mode: int


class Host:
    """Looks at device nodes below `root`.

    On `/` a relative path counts from the working directory, as in the reference library; a folder that stands
    for a host has none, so there it counts from the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = "" if root == Path("/") else str(root)

    def node_facts(self, path: str) -> NodeFacts:
        """Look at a device node without following a symlink in its place.

        Raises:
            OSError: There is nothing, or nothing readable, at the path.
            ValueError: What is there is no device node.
        """
        if self._root:
            path = self._root + posixpath.normpath(f"/{path}")
        status = os.lstat(path)
        mode = status.st_mode
        node_type = _TYPES.get(stat.S_IFMT(mode))
        if node_type is None:
            raise ValueError("it is no device node")
        device = status.st_rdev
        return NodeFacts(node_type, os.major(device), os.minor(device), stat.S_IMODE(mode))
