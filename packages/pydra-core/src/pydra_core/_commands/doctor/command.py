"""The sub-command itself: options, the examination, the exit code. Found by entry point."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from pydra_core._commands import options
from pydra_core.command import FINDING, FINE, Command
from pydra_core.driver import Driver
from pydra_core.errors import ConfigError


def _configure(parser: ArgumentParser) -> None:
    options.add_driver(parser)
    options.add_settings(parser)
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    parser.add_argument(
        "--laptop", action="store_true", help="accept that this machine is no Kubernetes node"
    )
    parser.add_argument(
        "--cluster",
        action="store_true",
        help="check what `publish` needs, away from the nodes, instead of what `run` needs on one",
    )
    parser.add_argument(
        "--host",
        type=Path,
        default=Path("/"),
        metavar="DIR",
        help="where the node's root file system is seen from here (default /)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=15.0,
        metavar="SECONDS",
        help="how long each check may take (default 15)",
    )


def _run(arguments: Namespace) -> int:
    from pydra_core._commands.doctor import checks, report  # noqa: PLC0415 (HTTP loads only where it is needed)
    from pydra_core._commands.doctor.subject import Subject  # noqa: PLC0415 (same)

    settings = options.read_settings(arguments)
    subject = Subject(
        _driver(arguments), settings, arguments.host, os.environ, time.time, arguments.cluster
    )
    if subject.cluster and subject.driver.cluster_pools is Driver.cluster_pools:
        raise ConfigError(
            f"driver {subject.driver.name}: has no pools that belong to no node; leave --cluster out",
            key="cluster",
            source="flag",
        )
    bare = checks.is_bare(subject)
    only = bare and arguments.laptop
    done = asyncio.run(checks.examine(subject, arguments.timeout, driver_only=only))
    node = "" if subject.cluster else settings.node_name
    made = report.Report(subject.driver.name, node, bare, done.results)
    report.write(made, arguments.output)
    code = FINDING if made.findings else FINE
    if done.hanging:  # a thread that hangs in somebody's library would keep us here
        sys.stdout.flush()
        os._exit(code)
    return code


def _driver(arguments: Namespace) -> type[Driver]:
    try:
        return options.find_driver(arguments)
    except ImportError as err:
        raise ConfigError(
            f"driver: its package cannot be loaded: {err}; install what it needs, or choose another with --driver",
            key="driver",
            source="entry point",
        ) from err


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:  # noqa: PLR2004 (an hour)
        raise ArgumentTypeError(f"{text!r} is not a number of seconds between 0 and 3600")
    return value


command = Command("doctor", "check every precondition of running a driver here", _configure, _run)
