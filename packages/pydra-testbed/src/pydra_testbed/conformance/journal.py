"""Where a driver of ours keeps its journal, for the white box cases."""

from __future__ import annotations

from pathlib import Path

from pydra_core._state import frames


def find_journal(data_dir: Path) -> Path | None:
    """The journal of pydra-core below a driver's directory; None if there is none."""
    path = data_dir / "journal"
    try:
        with path.open("rb") as file:
            return path if file.read(len(frames.MAGIC)) == frames.MAGIC else None
    except OSError:
        return None
