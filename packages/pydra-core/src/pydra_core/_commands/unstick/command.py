"""The sub-command itself: which driver, what it holds, and the report at the end. Found by entry point."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from pydra_core._commands import options
from pydra_core.command import FINDING, FINE, Command
from pydra_core.driver import Driver
from pydra_core.errors import ConfigError

if TYPE_CHECKING:
    from pydra_core._commands.unstick.report import Report
    from pydra_core._state.records import Intent, Prepared
    from pydra_core._state.survey import Survey
    from pydra_core._values import ClaimRef
    from pydra_core.settings import Settings


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="DRIVER", help="the driver's name, like card.acme.example")
    parser.add_argument(
        "--dry-run", action="store_true", help="list what would be released, change nothing"
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="go on until Ctrl-C, also when the journal holds nothing (it was lost, or was never there)",
    )
    parser.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")
    options.add_settings(parser)


def _run(arguments: Namespace) -> int:
    from pydra_core._api.rules import is_driver_name  # noqa: PLC0415 (other commands start without it)
    from pydra_core._commands.unstick.report import Report  # noqa: PLC0415 (same)

    settings, name = options.read_settings(arguments), arguments.name
    if not is_driver_name(name):
        raise ConfigError(
            f"driver name {name!r}: must be a lower-case DNS subdomain of at most 63 characters",
            key="driver",
            source="command line",
        )
    report = Report(name, arguments.output)
    if arguments.dry_run:
        return _list(settings, report)
    driver = _installed(name)
    report.begin(_held(settings, name))
    if driver is None:
        report.warn(
            f"driver {name} is not installed here: what it changed in hardware stays as it is. Reset its devices, or"
            " reboot the node, before another driver uses them."
        )
    left = asyncio.run(_serve(driver, settings, report, keep=arguments.keep))
    report.end(left)
    return FINDING if left else FINE


async def _serve(
    driver: Driver | None, settings: Settings, report: Report, *, keep: bool
) -> Sequence[Prepared | Intent]:
    from pydra_core._node.unsticking import departed, unstick  # noqa: PLC0415 (gRPC loads only where it is needed)

    def released(ref: ClaimRef, devices: tuple[str, ...]) -> None:
        report.released(ref, devices)

    return await unstick(driver or departed(report.driver), settings, released, keep=keep)


def _list(settings: Settings, report: Report) -> int:
    found = _journal(settings, report.driver)
    if found and found.problem:
        report.warn(found.problem)
    report.end(_held(settings, report.driver))
    return FINDING if found and found.problem else FINE


def _held(settings: Settings, name: str) -> Sequence[Prepared | Intent]:
    found = _journal(settings, name)
    return found.claims if found else ()


def _journal(settings: Settings, name: str) -> Survey | None:
    from pydra_core._state.survey import look_at  # noqa: PLC0415 (other commands start without it)

    return look_at(settings.kubelet_root / "plugins" / name / "journal")


def _installed(name: str) -> Driver | None:
    """The driver itself, whose unprepare knows the hardware."""
    for entry in entry_points(group="pydra.drivers"):
        try:
            loaded = entry.load()
        except (ImportError, AttributeError) as err:
            sys.stderr.write(f"driver {entry.name}: its package cannot be loaded: {err}\n")
            continue
        if isinstance(loaded, type) and issubclass(loaded, Driver) and loaded.name == name:
            return loaded()
    return None


command = Command(
    "unstick", "release the claims of a driver that was uninstalled", _configure, _run
)
