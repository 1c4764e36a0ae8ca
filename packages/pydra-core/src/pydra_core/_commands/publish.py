"""`publish`: publish the pools that belong to no node, away from the nodes, until SIGTERM or SIGINT."""

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
    from pydra_core._node.cluster import publish  # noqa: PLC0415 (HTTP loads only where it is needed)

    driver, settings = options.find_driver(arguments), options.read_settings(arguments)
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(publish(driver(), settings, os.environ, lambda: options.read_settings(arguments)))
    return FINE


command = Command(
    "publish", "publish the pools of a driver that several nodes reach", _configure, _run
)
