"""What is left of a testbed whose process was killed: its drivers and its folder, found and removed.

Run as `python -I -S janitor.py FOLDER`, one beside each testbed (`folder` starts it): end-of-file on its standard
input, which the kernel sends when the testbed dies, SIGKILL included, makes it clean up. A janitor that was killed as
well is made up for by the next testbed and by `pydra testbed down`, through `collect_abandoned`. Containers need no
janitor: each has a shim. Only cheap modules of the standard library: this is on the path of every start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "pydra-"
OWNER = "testbed-owner"
"""The file in a testbed's folder which its process holds locked, with its process ID in it."""
VARIABLE = "PYDRA_TESTBED_DRIVER"
"""Set to the folder for each process that must end with the testbed, and so for its children."""

_QUIET_LOOKS = 2
_PAUSE = 0.02


def main(root: Path) -> None:
    """Wait for the testbed's end, then clean up after it."""
    while os.read(0, 4096):
        pass
    collect(root)


def collect(root: Path) -> None:
    """Kill what still runs on behalf of the testbed and remove its folder.

    Looks until it found nothing twice: a process that was just being started is there at the second look.
    """
    quiet = 0
    while quiet < _QUIET_LOOKS:
        found = list(_processes(root))
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        quiet = 0 if found else quiet + 1
        time.sleep(_PAUSE)
    shutil.rmtree(root, ignore_errors=True)


def collect_abandoned(parent: Path) -> tuple[Path, ...]:
    """Clean up after every testbed below `parent` whose process is gone; returns their folders."""
    found = tuple(folder for folder in parent.glob(f"{PREFIX}*") if _is_abandoned(folder))
    for folder in found:
        collect(folder)
    return found


def _is_abandoned(folder: Path) -> bool:
    """Whether the folder is a testbed's, ours, and nobody holds its lock."""
    try:
        if folder.lstat().st_uid != os.geteuid():
            return False
        owner = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(owner).st_size > 0  # empty: its process is about to lock it
    except OSError:
        return False
    finally:
        os.close(owner)


def _processes(root: Path) -> Iterator[int]:
    mark = f"{VARIABLE}={root}".encode()
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib costs a millisecond per hundred processes
        if name.isdigit() and mark in _environment(name):
            yield int(name)


def _environment(pid: str) -> list[bytes]:
    """A process's variables, none when it is gone meanwhile or somebody else's."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - same
            return file.read().split(b"\0")
    except OSError:
        return []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
