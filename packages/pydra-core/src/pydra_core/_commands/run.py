"""`run`: serve one driver on this node until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
from argparse import ArgumentParser, Namespace

from pydra_core._commands import options
from pydra_core._telemetry import logs
from pydra_core.command import FINE, Command


def _configure(parser: ArgumentParser) -> None:
    options.add_driver(parser)
    options.add_settings(parser)


def _run(arguments: Namespace) -> int:
    from pydra_core._node.process import serve  # noqa: PLC0415 (gRPC loads only where it is needed)

    driver = options.find_driver(arguments)
    settings = options.read_settings(arguments)
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(serve(driver(), settings, os.environ))
    return FINE


command = Command("run", "serve a driver on this node", _configure, _run)
