"""Facts about device nodes of the host; injection asks for them where a spec leaves them out.

The host is a directory: `/` on a node, a folder elsewhere, out of which no path and no symlink leads.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from pydra_cdi._tree import HostTree

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
        self._tree = None if root == Path("/") else HostTree(root)

    def node_facts(self, path: str) -> NodeFacts:
        """Look at a device node without following a symlink in its place.

        Raises:
            OSError: There is nothing, or nothing readable, at the path.
            ValueError: What is there is no device node.
        """
        status = os.lstat(path) if self._tree is None else self._tree.lstat(path)
        found = node_type(status)
        if found is None:
            raise ValueError("it is no device node")
        device, mode = status.st_rdev, stat.S_IMODE(status.st_mode)
        return NodeFacts(found, os.major(device), os.minor(device), mode)


def node_type(status: os.stat_result) -> str | None:
    """Give the type of a device node as specs spell it; None for anything else."""
    return _TYPES.get(stat.S_IFMT(status.st_mode))
