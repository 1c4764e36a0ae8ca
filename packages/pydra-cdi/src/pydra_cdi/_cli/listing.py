"""`devices`, `vendors`, `classes`, `specs`, `dirs`: what a runtime would see in the spec directories."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from pydra_cdi._cli.command import FINDING, FINE, Command
from pydra_cdi._cli.options import add_host, directories, snapshot
from pydra_cdi._cli.output import add_format, as_yaml, note, show, show_lines
from pydra_cdi._cli.table import printable
from pydra_cdi.model import ENCODER
from pydra_cdi.snapshot import FoundDevice, LoadedSpec, Snapshot


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


def show_devices(arguments: Namespace, found: Snapshot) -> int:
    """Print the devices of a snapshot."""
    devices = [found.devices[name] for name in sorted(found.devices)]
    data = [_device(device, verbose=arguments.verbose) for device in devices]
    rows = [(device.device_id, str(device.origin.path)) for device in devices]
    if not devices:
        note(f"no CDI devices in {_places(found)}")
    if arguments.verbose:
        show_lines(arguments, data, lambda _: _details(data))
    else:
        show(arguments, data, ("DEVICE", "SPEC FILE"), rows)
    return FINE


def _device(found: FoundDevice, *, verbose: bool) -> dict[str, Any]:
    origin = found.origin
    place = {"device": found.device_id, "file": str(origin.path), "priority": origin.priority}
    if not verbose:
        return place
    details = {**place, **_plain(found.device)}
    del details["name"]
    if origin.spec.container_edits:
        details["specEdits"] = _plain(origin.spec.container_edits)
    return details


def show_specs(arguments: Namespace, found: Snapshot) -> int:
    """Print the valid spec files of a snapshot."""
    wanted = arguments.vendors or found.vendors
    specs = [loaded for loaded in found.specs if loaded.spec.vendor in wanted]
    data = [_spec(loaded, verbose=arguments.verbose) for loaded in specs]
    rows = [
        (str(one.path), one.spec.kind, one.spec.cdi_version, str(len(one.spec.devices)))
        for one in specs
    ]
    if not specs:
        note(f"no CDI spec files in {_places(found)}")
    if arguments.verbose:
        show_lines(arguments, data, lambda _: _details(data))
    else:
        show(arguments, data, ("SPEC FILE", "KIND", "VERSION", "DEVICES"), rows)
    missing = [vendor for vendor in arguments.vendors if vendor not in found.vendors]
    for vendor in missing:
        note(f"no valid spec file is of vendor {vendor}")
    return FINDING if missing else FINE


def _spec(loaded: LoadedSpec, *, verbose: bool) -> dict[str, Any]:
    spec = loaded.spec
    place = {"file": str(loaded.path), "priority": loaded.priority}
    if verbose:
        return {**place, "spec": _plain(spec)}
    devices = [device.name for device in spec.devices]
    return {**place, "kind": spec.kind, "cdiVersion": spec.cdi_version, "devices": devices}


def _details(data: list[dict[str, Any]]) -> Iterator[str]:
    for entry in data:
        head, *rest = entry.items()
        yield f"{printable(str(head[1]))}:"
        yield from (f"  {line}" for line in as_yaml(dict(rest)).splitlines())


def show_vendors(arguments: Namespace, found: Snapshot) -> int:
    """Print the vendors of a snapshot, with how many files each has."""
    data = [
        {"vendor": vendor, "files": sum(one.spec.vendor == vendor for one in found.specs)}
        for vendor in found.vendors
    ]
    if not data:
        note(f"no CDI vendors in {_places(found)}")
    show(
        arguments, data, ("VENDOR", "SPEC FILES"), [[str(v) for v in row.values()] for row in data]
    )
    return FINE


def show_classes(arguments: Namespace, found: Snapshot) -> int:
    """Print the device classes of a snapshot, with the vendors of each."""
    vendors: dict[str, set[str]] = {name: set() for name in found.classes}
    for loaded in found.specs:
        vendors[loaded.spec.device_class].add(loaded.spec.vendor)
    data = [{"class": name, "vendors": sorted(of)} for name, of in vendors.items()]
    if not data:
        note(f"no CDI classes in {_places(found)}")
    rows = [(name, ", ".join(sorted(of))) for name, of in vendors.items()]
    show(arguments, data, ("CLASS", "VENDORS"), rows)
    return FINE


def _run_dirs(arguments: Namespace) -> int:
    found = snapshot(arguments)
    data = [
        {"directory": str(path), "priority": priority, **_state(path, priority, found)}
        for priority, path in enumerate(directories(arguments))
    ]
    rows = [[str(cell) for cell in row.values()] for row in data]
    show(arguments, data, ("DIRECTORY", "PRIORITY", "SPEC FILES", "WITH ERRORS", "STATE"), rows)
    return FINE


def _state(path: Path, priority: int, found: Snapshot) -> dict[str, Any]:
    good = sum(loaded.priority == priority for loaded in found.specs)
    bad = sum(other.parent == path for other in found.errors)
    state = "read" if path.is_dir() else "missing"
    return {"files": good, "errors": bad, "state": "not read" if path in found.unread else state}


def _places(found: Snapshot) -> str:
    return ", ".join(map(str, found.directories))


def _plain(value: msgspec.Struct) -> Any:
    return json.loads(ENCODER.encode(value))


_ORDER = "Later directories have the higher priority: their definition of a device is the one that counts."

commands = (
    Command(
        "devices",
        "list the devices a container can have",
        "List the CDI devices that can be injected, with the spec file each comes from. " + _ORDER,
        _configure_devices,
        lambda arguments: show_devices(arguments, snapshot(arguments)),
    ),
    Command(
        "vendors",
        "list the vendors of all valid spec files",
        "List the vendors of all valid spec files, with the number of files of each.",
        _configure,
        lambda arguments: show_vendors(arguments, snapshot(arguments)),
    ),
    Command(
        "classes",
        "list the device classes of all valid spec files",
        "List the device classes of all valid spec files, with the vendors of each.",
        _configure,
        lambda arguments: show_classes(arguments, snapshot(arguments)),
    ),
    Command(
        "specs",
        "list the valid spec files",
        "List the valid spec files in the order in which they are read.",
        _configure_specs,
        lambda arguments: show_specs(arguments, snapshot(arguments)),
    ),
    Command(
        "dirs",
        "list the spec directories in use",
        "List the spec directories in use, and what is in them. " + _ORDER,
        _configure,
        _run_dirs,
    ),
)
