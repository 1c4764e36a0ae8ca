"""What a sub-command is, its exit codes, and the error for a command line that makes no sense."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass

from pydra_cdi.errors import CdiError

FINE, FINDING, USAGE = 0, 1, 2
"""Exit codes: all well, something was found, the command line is wrong."""


class UsageError(CdiError):
    """The command line asks for something that does not exist; the message says what does."""

    reason = "CdiUsage"


@dataclass(frozen=True, slots=True)
class Command:
    """One sub-command: `help` is its line in the list, `description` what its own help says."""

    name: str
    help: str
    description: str
    configure: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
