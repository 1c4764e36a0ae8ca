"""`pydra demo`: a driver and its manifests on a cluster in one process, told as it happens."""

from __future__ import annotations

import asyncio
import importlib
import importlib.resources
import shlex
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Coroutine, Mapping, Sequence
from importlib.metadata import entry_points
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pydra_core._telemetry import logs
from pydra_core.command import FINDING, FINE, Command
from pydra_core.errors import ConfigError, PydraError
from pydra_testbed.demo import events
from pydra_testbed.demo.hosts import Host, hint, host
from pydra_testbed.demo.json_lines import JsonTeller
from pydra_testbed.demo.text import TextTeller
from pydra_testbed.manifests import Manifest, read_folder

if TYPE_CHECKING:  # the story brings gRPC, which speaks up at the end of a process
    from pydra_testbed.demo.story import Outcome, Tell

_INTERRUPTED = 130


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", help="show the testbed's own log")
    parser.add_argument(
        "--driver", default="pizza", metavar="NAME", help="which installed driver (default: pizza)"
    )
    parser.add_argument(
        "--start", default="", metavar="COMMAND", help="start this command as the driver instead"
    )
    parser.add_argument(
        "--manifests",
        type=Path,
        metavar="DIR",
        help="apply these .yaml files instead of the driver's",
    )
    parser.add_argument(
        "--host",
        default="",
        metavar="NAME",
        help="let the driver find a machine that is none, such as h100x8 for --driver nvidia; a wrong name lists them",
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="json: one event a line"
    )


def _run(arguments: Namespace) -> int:
    tell = _teller(arguments.output)
    try:
        command = _driver_command(arguments)
        machine = host(arguments.driver, arguments.host) if arguments.host else None
        manifests = read_folder(arguments.manifests or _own_manifests(arguments.driver))
        logs.configure("info" if arguments.verbose else "error", "text")
        advice = "" if machine else hint(arguments.driver)
        outcome = asyncio.run(_play(command, manifests, tell, machine, advice))
    except asyncio.CancelledError:
        tell(events.Interrupted())
        return _INTERRUPTED
    except PydraError as err:
        tell(events.Broken(err.reason, str(err)))
        raise
    tell(events.Finished(outcome.succeeded, outcome.failed, outcome.waiting))
    return FINDING if outcome.failed else FINE


def _teller(output: str) -> Tell:
    if output == "json":
        return JsonTeller(sys.stdout, time.monotonic()).tell
    return TextTeller(Console(highlight=False)).tell


def _driver_command(arguments: Namespace) -> Sequence[str]:
    if not arguments.start:
        return [sys.executable, "-m", "pydra_core", "run", "--driver", arguments.driver]
    if not arguments.manifests:
        raise ConfigError(
            "demo: --start needs --manifests DIR to know what to apply",
            key="manifests",
            source="flag",
        )
    return [*shlex.split(arguments.start), "run"]


def _own_manifests(driver: str) -> Traversable:
    demos = {e.name: e.value for e in entry_points(group="pydra.demos")}
    if driver not in demos:
        known = ", ".join(sorted(demos)) or "none; install pydra-pizza"
        raise ConfigError(
            f"demo: driver {driver!r} brings no demo; those that do: {known}",
            key="driver",
            source="flag",
        )
    return importlib.resources.files(importlib.import_module(demos[driver]))


async def _play(
    command: Sequence[str],
    manifests: Sequence[Manifest],
    tell: Tell,
    machine: Host | None,
    advice: str,
) -> Outcome:
    """Play the story; a driver that does not serve is told with advice on what to try instead."""
    from pydra_testbed.cluster import start  # noqa: PLC0415 (a refused command line answers at once)
    from pydra_testbed.demo.story import Story  # noqa: PLC0415 (same)
    from pydra_testbed.driver_process import DriverDiedError, run_driver  # noqa: PLC0415 (same)

    interrupted = _stop_signals()
    async with start() as testbed:
        node = testbed.nodes[0]
        environ = await _built(machine, node.kubelet_root.parent / "host", tell)
        async with run_driver(testbed, node, command, environ) as driver:
            story = Story(testbed, node, driver, tell)
            try:
                return await _unless(interrupted, story.play(manifests))
            except DriverDiedError as err:
                raise DriverDiedError(f"{err}\n{advice}".rstrip()) from err


async def _built(machine: Host | None, folder: Path, tell: Tell) -> Mapping[str, str]:
    """The environment variables by which the driver takes the machine for its node."""
    if machine is None:
        return {}
    started = time.monotonic()
    environ = await machine.build(folder)
    tell(events.HostBuilt(machine.name, time.monotonic() - started))
    return environ


def _stop_signals() -> asyncio.Event:
    """An event set by SIGINT, SIGTERM or SIGHUP (a closed terminal), which from now on do nothing else: cleaning up is never disturbed."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, asked.set)
    return asked


async def _unless(interrupted: asyncio.Event, work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Run `work`, or cancel it as soon as the interruption comes; raises `CancelledError` then."""
    loop = asyncio.get_running_loop()
    working, asked = loop.create_task(work), loop.create_task(interrupted.wait())
    await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        working.cancel()
    asked.cancel()
    await asyncio.gather(working, asked, return_exceptions=True)
    return working.result()


command = Command("demo", "order pizzas on a cluster in one process", _configure, _run)
