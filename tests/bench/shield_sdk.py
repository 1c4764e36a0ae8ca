"""The SDK module of `shield.py`: as empty as one can be."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from pydra_core.sdk import mutates, reads


@reads
def echo(value: Any) -> Any:
    """Give back what came."""
    return value


@reads
def held() -> int:
    """Bytes resident in this worker."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


@mutates
def fall() -> None:
    """Read address 0."""
    ctypes.string_at(0)
