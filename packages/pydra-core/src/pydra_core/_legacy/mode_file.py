"""The file in which a driver process leaves its mode, for `doctor`: beside the journal, replaced at each change."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from pydra_core._legacy.mode import Mode

_log = logging.getLogger(__name__)
FILE_NAME = "mode.json"


def write(folder: Path, mode: Mode) -> None:
    """Leave it; a disk that is full costs nobody a device, so trouble is logged."""
    path = folder / FILE_NAME
    temporary = path.with_name(f".{FILE_NAME}.tmp")
    try:
        temporary.write_bytes(msgspec.json.encode(mode))
        temporary.replace(path)
    except OSError as err:
        _log.warning("mode cannot be left for doctor", extra={"path": path, "why": err.strerror})


def read(folder: Path) -> Mode | None:
    """What the process that served last left; None if it left nothing that can be read."""
    try:
        return msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=Mode)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
