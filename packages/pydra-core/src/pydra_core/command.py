"""What a sub-command is, and how other packages bring theirs.

Entry point group `pydra.commands` is offered by `pydra` alone, `pydra.driver_commands` by each driver's own
program too.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydra_core import settings
from pydra_core._telemetry import logs

FINE, FINDING, USAGE = 0, 1, 2
"""Exit codes: all well, something was found, the command line or the configuration is wrong."""


@dataclass(frozen=True, slots=True)
class Command:
    """One sub-command. In a driver's own program `arguments.driver` is preset to its class."""

    name: str
    help: str
    configure: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def log_as_told(environ: Mapping[str, str]) -> None:
    """Let a vendor's further program, one that is no driver, log as the drivers do: `LOG_LEVEL`, `LOG_FORMAT`.

    Raises:
        ConfigError: the environment holds what is no setting's value.
    """
    common = settings.load(None, environ, {})
    logs.configure(common.log_level, common.log_format)
