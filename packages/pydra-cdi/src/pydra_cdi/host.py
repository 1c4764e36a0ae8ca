"""Facts about device nodes of the host; injection asks for them where a spec leaves them out.

The host is a directory: `/` on a node, a folder of a test otherwise. Paths never lead out of it by `..`.
"""

from __future__ import annotations

import os
import posixpath
import stat
from dataclasses import dataclass
from pathlib import Path

_TYPES = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p"}


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the host says about a device node; `file_mode` holds permission bits only."""

    type: str
    major: int
    minor: int
    file_mode: int


def node_facts(host: Path, path: str) -> NodeFacts:
    """Look at a device node without following a symlink in its place.

    Raises:
        OSError: There is nothing, or nothing readable, at the path.
        ValueError: The path is not absolute, or what is there is no device node.
    """
    if not path.startswith("/"):
        raise ValueError("the path is not absolute")
    status = (host / posixpath.normpath(path).lstrip("/")).lstat()
    node_type = _TYPES.get(stat.S_IFMT(status.st_mode))
    if node_type is None:
        raise ValueError("it is no device node")
    device = status.st_rdev
    return NodeFacts(node_type, os.major(device), os.minor(device), stat.S_IMODE(status.st_mode))
