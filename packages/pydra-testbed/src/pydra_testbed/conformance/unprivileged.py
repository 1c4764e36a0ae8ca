"""Start a program without capabilities: run as `python -I -S unprivileged.py PROGRAM ARGUMENTS`.

What a container of a driver gets with `capabilities: drop: [ALL]` and `allowPrivilegeEscalation: false`. Root keeps
its user ID and loses all else. Only the standard library: this runs as a script.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _CLEAR_ALL = 47, 4


def main(argv: list[str]) -> None:
    """Drop everything, then become the program. Raises `OSError` when it cannot be started."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if os.geteuid() == 0:
        for capability in range(_last_capability() + 1):
            prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execvp(argv[0], argv)  # noqa: S606 - becoming the program is the point


def _last_capability() -> int:
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))


if __name__ == "__main__":
    main(sys.argv[1:])
