"""`inject` and `resolve`: devices put into an OCI spec, as a container runtime does it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydra_cdi._cli.command import FINE, Command
from pydra_cdi._cli.files import read_oci_spec
from pydra_cdi._cli.options import add_host, snapshot
from pydra_cdi._cli.output import add_format, show_tree
from pydra_cdi.errors import InjectionError, SpecError
from pydra_cdi.injection import inject
from pydra_cdi.names import QualifiedName
from pydra_cdi.snapshot import Snapshot


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "oci_spec",
        type=Path,
        metavar="OCI-SPEC",
        help="the container's config.json; - reads standard input",
    )
    add_host(parser)
    add_format(parser, default="json")


def _configure_inject(parser: ArgumentParser) -> None:
    _configure(parser)
    parser.add_argument(
        "devices",
        nargs="+",
        metavar="DEVICE",
        help="vendor/class=name; * ? [...] match all devices that fit, on each side of the slash",
    )


def _run_inject(arguments: Namespace) -> int:
    oci = read_oci_spec(arguments.oci_spec)
    found = snapshot(arguments)
    show_tree(
        arguments, inject(oci, _matching(arguments.devices, found), found, host=arguments.host)
    )
    return FINE


def _matching(patterns: Sequence[str], found: Snapshot) -> list[str]:
    """Give each device once, in the order of the patterns, those of one pattern sorted."""
    chosen: dict[str, None] = {}
    for pattern in patterns:
        if not {"*", "?", "["}.intersection(pattern):
            chosen[pattern] = None
        elif fitting := [name for name in sorted(found.devices) if _fits(name, pattern)]:
            chosen.update(dict.fromkeys(fitting))
        else:
            raise InjectionError(
                f"no CDI device matches {pattern}; `pydra-cdi devices` lists those there are"
            )
    return list(chosen)


def _fits(device_id: str, pattern: str) -> bool:
    parts, patterns = device_id.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _run_resolve(arguments: Namespace) -> int:
    oci = dict(read_oci_spec(arguments.oci_spec))
    names = list(_named_devices(oci))
    show_tree(arguments, inject(oci, names, snapshot(arguments), host=arguments.host))
    return FINE


def _named_devices(oci: dict[str, Any]) -> Iterator[str]:
    """Take the entries of `linux.devices` out whose path is a CDI device ID, and give the IDs."""
    linux = oci.get("linux")
    devices = linux.get("devices") if isinstance(linux, Mapping) else None
    if not isinstance(linux, Mapping) or not isinstance(devices, list):
        return
    kept = [device for device in devices if _device_id(device) is None]
    oci["linux"] = {**linux, "devices": kept}
    yield from filter(None, map(_device_id, devices))


def _device_id(device: object) -> str | None:
    path = device.get("path") if isinstance(device, Mapping) else None
    try:
        return str(QualifiedName.parse(path)) if isinstance(path, str) else None
    except SpecError:
        return None


commands = (
    Command(
        "inject",
        "put devices into an OCI spec and print it",
        "Put CDI devices into the OCI spec of a container, as a runtime does, and print the new OCI spec. "
        "Device nodes are looked up on the host.",
        _configure_inject,
        _run_inject,
    ),
    Command(
        "resolve",
        "replace CDI device IDs in an OCI spec's devices",
        "Replace those entries of linux.devices whose path is a CDI device ID by what the device brings, "
        "and print the new OCI spec.",
        _configure,
        _run_resolve,
    ),
)
