"""What front ends and programs say to a daemon through its `control` socket: one JSON object a line, our own words.

The real ones speak a protocol that nobody but NVIDIA knows; all that is public is text, environment and effect.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

SOCKET = "control"
UID = "FAKE_MPS_UID"
"""Environment variable: the user that a process is to be taken for. Without it everybody is root on a fake machine."""


def connect(folder: str) -> socket.socket:
    """Reach the daemon of a folder.

    Raises:
        OSError: there is none.
    """
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        found.connect(str(Path(folder) / SOCKET))
    except OSError:
        found.close()
        raise
    return found


def uid() -> int:
    """The user this process is taken for."""
    return int(os.environ.get(UID, "0"))


def line(said: dict[str, Any]) -> bytes:
    """To be sent."""
    return json.dumps(said).encode() + b"\n"
