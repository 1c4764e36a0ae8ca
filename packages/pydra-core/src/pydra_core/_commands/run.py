"""`run`: serve one driver on this node until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from pydra_core._commands import options
from pydra_core._telemetry import logs
from pydra_core.command import FINE, Command
from pydra_core.driver import Driver
from pydra_core.settings import Settings

_log = logging.getLogger(__name__)
_PATIENCE = 2.0
"""Seconds an orderly end of the interpreter may take after the driver has stopped."""


def _configure(parser: ArgumentParser) -> None:
    options.add_driver(parser)
    options.add_settings(parser)


def _run(arguments: Namespace) -> int:
    driver = options.find_driver(arguments)
    settings = options.read_settings(arguments)
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(_serve(driver(), settings, lambda: options.read_settings(arguments)))
    return FINE


async def _serve(driver: Driver, settings: Settings, read: Callable[[], Settings]) -> None:
    from pydra_core._node.process import serve  # noqa: PLC0415 (gRPC loads only where it is needed)

    await serve(driver, settings, os.environ, read)
    leave = threading.Timer(_PATIENCE, _leave)
    leave.daemon = True
    leave.start()


def _leave() -> None:
    """End the process: everything is closed, only calls of the driver that hang in threads hold it."""
    _log.warning("calls of the driver hang in threads; leaving them behind")
    logging.shutdown()
    os._exit(FINE)


command = Command("run", "serve a driver on this node", _configure, _run)
