"""What a sub-command is, and how other packages bring theirs.

Entry point group `pydra.commands` is offered by `pydra` alone, `pydra.driver_commands` by each driver's own
program too.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass

FINE, FINDING, USAGE = 0, 1, 2
"""Exit codes: all well, something was found, the command line or the configuration is wrong."""


@dataclass(frozen=True, slots=True)
class Command:
    """One sub-command. In a driver's own program `arguments.driver` is preset to its class."""

    name: str
    help: str
    configure: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
