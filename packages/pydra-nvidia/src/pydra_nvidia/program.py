"""The `pydra-nvidia` command: what every driver's program has, and the keeper of MPS daemons."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from pydra_core import main
from pydra_core.command import FINE, USAGE, Command
from pydra_core.errors import ConfigError
from pydra_core.program import log_as_told
from pydra_nvidia.mps import control, serving, tool
from pydra_nvidia.mps.keeper import MpsKeeper
from pydra_nvidia.mps.tool import Tool
from pydra_nvidia.settings import NvidiaSettings

KEEPER = "mps-keeper"
_WHAT = "keep the MPS daemons of a node, beside its driver, until SIGTERM"


def run() -> None:
    """Run, discover, doctor and the other commands, for this driver; or the keeper, which is no driver."""
    if sys.argv[1:2] == [KEEPER]:
        sys.exit(keep(sys.argv[2:]))
    from pydra_nvidia.driver import NvidiaDriver  # noqa: PLC0415 (the keeper stays small)

    main(NvidiaDriver, more=(_COMMAND,))


def keep(argv: Sequence[str]) -> int:
    """Keep the MPS daemons of this node until SIGTERM or SIGINT.

    Args:
        argv: arguments after `mps-keeper`.

    Returns:
        The exit code: 0 after a stop that was asked for, 2 for a configuration that cannot be.
    """
    parser = ArgumentParser(f"pydra-nvidia {KEEPER}", description=_WHAT)
    _configure(parser)
    try:
        return _run(parser.parse_args(argv))
    except ConfigError as err:
        sys.stderr.write(f"{parser.prog}: {err}\n")
        return USAGE


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--patience",
        type=_seconds,
        default=control.PATIENCE,
        metavar="SECONDS",
        help="how long NVIDIA's program may take for one command (default %(default)g)",
    )


def _run(arguments: Namespace) -> int:
    log_as_told(os.environ)
    asyncio.run(_keep(NvidiaSettings.of(os.environ), arguments.patience))
    return FINE


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < (value := float(text)) < math.inf:
            return value
    raise ArgumentTypeError(f"must be more than 0 seconds and finite, not {text!r}")


async def _keep(chosen: NvidiaSettings, patience: float) -> None:
    host = Path(os.environ.get("NVIDIA_HOST_ROOT") or "/")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    find = partial(_find, chosen, host, private=tool.can_mount())
    keeper = MpsKeeper(chosen.mps_dir, find, patience)
    await serving.serve(chosen.mps_dir, keeper, stop, patience)


def _find(chosen: NvidiaSettings, host: Path, *, private: bool) -> Tool:
    """Asked anew each time: the driver may come, go and be replaced with its container."""
    return tool.find(chosen.root(host), host, private=private)


_COMMAND = Command(KEEPER, _WHAT, _configure, _run)
