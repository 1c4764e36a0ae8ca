"""A testbed's own folder: made with a lock and a janitor, and gone afterwards; `cluster` lives in one."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydra_core.errors import ConfigError
from pydra_testbed import janitor

_SOCKET_BYTES = 107
_LONGEST_SOCKET = len("/kubelet/plugins_registry/" + "x" * 12 + "-reg.sock")
"""Below a node's folder, once a driver has shortened it as far as it can."""


@contextmanager
def own_folder(nodes: Iterable[str]) -> Iterator[Path]:
    """A folder directly in the temporary directory for the block; testbeds that were killed are cleaned up first.

    Raises:
        ConfigError: sockets of drivers on these nodes would not fit below it.
        OSError: the temporary directory cannot be written.
    """
    parent = Path(tempfile.gettempdir())
    janitor.collect_abandoned(parent)
    root = Path(tempfile.mkdtemp(prefix=janitor.PREFIX, dir=parent))
    owner = os.open(root / janitor.OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(owner, fcntl.LOCK_EX)
        os.write(owner, f"{os.getpid()}\n".encode())
        for node in nodes:
            _check_length(parent, root / node)
        with _guarded(root):
            yield root
    finally:
        shutil.rmtree(root)
        os.close(owner)


@contextmanager
def _guarded(root: Path) -> Iterator[None]:
    """A janitor waits beside the block. It needs nothing of our environment and no signal of our terminal."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", janitor.__file__, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        start_new_session=True,
    ) as guard:
        try:
            yield
        finally:
            guard.kill()


def _check_length(parent: Path, node: Path) -> None:
    length = len(str(node).encode()) + _LONGEST_SOCKET
    if length > _SOCKET_BYTES:
        raise ConfigError(
            f"testbed: TMPDIR {parent} is too long: sockets of drivers below {node} would have {length} bytes, the"
            f" kernel takes {_SOCKET_BYTES}; set TMPDIR to a folder whose path is {length - _SOCKET_BYTES} bytes"
            " shorter, for example TMPDIR=/tmp",
            key="TMPDIR",
            source="environment",
        )
