"""The `pydra-nvidia` command."""

from __future__ import annotations

from pydra_core import main
from pydra_nvidia.driver import NvidiaDriver


def run() -> None:
    """Run, discover, doctor and the other commands, for this driver."""
    main(NvidiaDriver)
