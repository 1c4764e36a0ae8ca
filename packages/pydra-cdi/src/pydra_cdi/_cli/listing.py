"""`devices`, `vendors`, `classes`, `specs`, `dirs`: what a runtime would see in the spec directories."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pydra_cdi._cli import views
from pydra_cdi._cli.command import FINDING, FINE, Command
from pydra_cdi._cli.options import add_host, snapshot
from pydra_cdi._cli.output import add_format, note, show, show_lines
from pydra_cdi._cli.views import View
from pydra_cdi.snapshot import Snapshot


def _configure(parser: ArgumentParser) -> None:
    add_host(parser)
    add_format(parser)


def _configure_devices(parser: ArgumentParser) -> None:
    _configure(parser)
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show what each device changes in a container"
    )


def _configure_specs(parser: ArgumentParser) -> None:
    _configure(parser)
    parser.add_argument("vendors", nargs="*", metavar="VENDOR", help="only files of these vendors")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what is in each file")


def _run_devices(arguments: Namespace) -> int:
    found = snapshot(arguments)
    return _show(arguments, found, views.devices(found, verbose=arguments.verbose))


def _run_vendors(arguments: Namespace) -> int:
    found = snapshot(arguments)
    return _show(arguments, found, views.vendors(found))


def _run_classes(arguments: Namespace) -> int:
    found = snapshot(arguments)
    return _show(arguments, found, views.classes(found))


def _run_specs(arguments: Namespace) -> int:
    found = snapshot(arguments)
    _show(arguments, found, views.specs(found, arguments.vendors, verbose=arguments.verbose))
    missing = [vendor for vendor in arguments.vendors if vendor not in found.vendors]
    for vendor in missing:
        note(f"no valid spec file is of vendor {vendor}")
    return FINDING if missing else FINE


def _show(arguments: Namespace, found: Snapshot, view: View) -> int:
    if not view.data:
        note(f"no CDI {view.name} in {', '.join(map(str, found.directories))}")
    show_lines(arguments, view.data, view.lines)
    return FINE


def _run_dirs(arguments: Namespace) -> int:
    found = snapshot(arguments)
    data = [
        {"directory": str(path), "priority": priority, **_state(path, priority, found)}
        for priority, path in enumerate(found.directories)
    ]
    rows = [[str(cell) for cell in row.values()] for row in data]
    show(arguments, data, ("DIRECTORY", "PRIORITY", "SPEC FILES", "WITH ERRORS", "STATE"), rows)
    return FINE


def _state(path: Path, priority: int, found: Snapshot) -> dict[str, Any]:
    good = sum(loaded.priority == priority for loaded in found.specs)
    bad = sum(other.parent == path for other in found.errors)
    state = "read" if path.is_dir() else "missing"
    return {"files": good, "errors": bad, "state": "not read" if path in found.unread else state}


_ORDER = "Later directories have the higher priority: their definition of a device is the one that counts."

commands = (
    Command(
        "devices",
        "list the devices a container can have",
        "List the CDI devices that can be injected, with the spec file each comes from. " + _ORDER,
        _configure_devices,
        _run_devices,
    ),
    Command(
        "vendors",
        "list the vendors of all valid spec files",
        "List the vendors of all valid spec files, with the number of files of each.",
        _configure,
        _run_vendors,
    ),
    Command(
        "classes",
        "list the device classes of all valid spec files",
        "List the device classes of all valid spec files, with the vendors of each.",
        _configure,
        _run_classes,
    ),
    Command(
        "specs",
        "list the valid spec files",
        "List the valid spec files in the order in which they are read.",
        _configure_specs,
        _run_specs,
    ),
    Command(
        "dirs",
        "list the spec directories in use",
        "List the spec directories in use, and what is in them. " + _ORDER,
        _configure,
        _run_dirs,
    ),
)
