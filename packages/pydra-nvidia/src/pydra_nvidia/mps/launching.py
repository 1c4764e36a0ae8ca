"""Run as a program of its own: becomes a program of NVIDIA's, in the folders that it is meant to see.

Started by `tool` as `python -I launching.py ORDER`, ORDER being JSON. It is small and imports nothing of ours, because
it runs before every command. What it writes down of itself is true of the program it becomes: an exec changes neither
the process ID nor when it was started, so that no kill between start and note can leave a daemon nobody knows.
"""

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

_NEWNS = 0x00020000
_BIND, _REC, _SLAVE = 4096, 16384, 1 << 19
FAILED = 119
"""Exit status when the program was not reached."""
_START = 19
"""Of the fields after the name in /proc/self/stat, the one with the start."""


def main(argv: list[str]) -> None:
    """Do as ordered, and exec. Fields of the order: `private`, `binds`, `note`, `root`, `program`."""
    order: dict[str, Any] = json.loads(argv[1])
    try:
        if order["private"]:
            _own_mounts()
        for source, target in order["binds"]:
            Path(target).mkdir(parents=True, exist_ok=True)
            _mount(source, target, _BIND | _REC)
        if order["note"]:
            _note(order["note"])
        if order["root"]:
            os.chroot(order["root"])
            os.chdir("/")
        if order["program"]:
            os.execv(order["program"][0], order["program"])  # noqa: S606 (it is what this is for)
    except OSError as err:
        program = next(iter(order["program"]), "")
        sys.stderr.write(f"{program} cannot be run in {order['root'] or '/'}: {err}\n")
        sys.exit(FAILED)


def _own_mounts() -> None:
    """What is mounted from here on is ours alone; what the host mounts later is seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWNS):
        raise OSError(ctypes.get_errno(), "no mounts of its own (unshare)")
    _mount("none", "/", _REC | _SLAVE)


def _mount(source: str, target: str, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(flags), None):
        number = ctypes.get_errno()
        raise OSError(number, f"{source} cannot be mounted there: {os.strerror(number)}", target)


def _note(path: str) -> None:
    stat = Path("/proc/self/stat").read_text(encoding="utf-8")
    note = {"pid": os.getpid(), "started": int(stat.rpartition(")")[2].split()[_START])}
    fresh = Path(f"{path}.new")
    fresh.write_text(json.dumps(note), encoding="utf-8")
    fresh.replace(path)


if __name__ == "__main__":
    main(sys.argv)
