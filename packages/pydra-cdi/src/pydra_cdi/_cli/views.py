"""What a snapshot holds, seen by device, vendor, class or spec file: for programs, and as rows for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pydra_cdi._cli.output import as_yaml
from pydra_cdi._cli.table import printable, render
from pydra_cdi.model import ENCODER
from pydra_cdi.snapshot import FoundDevice, LoadedSpec, Snapshot


@dataclass(frozen=True, slots=True)
class View:
    """One kind of things in a snapshot.

    Attributes:
        name: What they are, in the plural.
        data: One object for each, for programs.
        headers: Those of the table for people.
        rows: The rows of the table.
        has_details: The data says more than a table can hold, and is what people see.
    """

    name: str
    data: list[dict[str, Any]]
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    has_details: bool = False

    def lines(self, width: int | None) -> Iterator[str]:
        """Give the lines for people."""
        if self.has_details:
            return (line for entry in self.data for line in _details(entry))
        return render(self.headers, self.rows, width)


def devices(found: Snapshot, *, verbose: bool) -> View:
    """Give the devices that can be injected."""
    those = [found.devices[name] for name in sorted(found.devices)]
    data = [_device(one, verbose=verbose) for one in those]
    rows = [(one.device_id, str(one.origin.path)) for one in those]
    return View("devices", data, ("DEVICE", "SPEC FILE"), rows, verbose)


def specs(found: Snapshot, vendors: Iterable[str] = (), *, verbose: bool) -> View:
    """Give the valid spec files, of some vendors or (none given) of all."""
    wanted = set(vendors) or set(found.vendors)
    those = [one for one in found.specs if one.spec.vendor in wanted]
    data = [_spec(one, verbose=verbose) for one in those]
    headers = ("SPEC FILE", "KIND", "VERSION", "DEVICES")
    return View("specs", data, headers, list(map(_spec_row, those)), verbose)


def vendors(found: Snapshot) -> View:
    """Give the vendors, with how many spec files each has."""
    counts = [
        (vendor, sum(one.spec.vendor == vendor for one in found.specs)) for vendor in found.vendors
    ]
    data = [{"vendor": vendor, "files": count} for vendor, count in counts]
    rows = [(vendor, str(count)) for vendor, count in counts]
    return View("vendors", data, ("VENDOR", "SPEC FILES"), rows)


def classes(found: Snapshot) -> View:
    """Give the device classes, with the vendors of each."""
    of: dict[str, set[str]] = {name: set() for name in found.classes}
    for loaded in found.specs:
        of[loaded.spec.device_class].add(loaded.spec.vendor)
    data = [{"class": name, "vendors": sorted(of[name])} for name in of]
    rows = [(name, ", ".join(sorted(of[name]))) for name in of]
    return View("classes", data, ("CLASS", "VENDORS"), rows)


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


def _spec(loaded: LoadedSpec, *, verbose: bool) -> dict[str, Any]:
    spec = loaded.spec
    place = {"file": str(loaded.path), "priority": loaded.priority}
    if verbose:
        return {**place, "spec": _plain(spec)}
    names = [device.name for device in spec.devices]
    return {**place, "kind": spec.kind, "cdiVersion": spec.cdi_version, "devices": names}


def _spec_row(loaded: LoadedSpec) -> Sequence[str]:
    spec = loaded.spec
    return (str(loaded.path), spec.kind, spec.cdi_version, str(len(spec.devices)))


def _details(entry: dict[str, Any]) -> Iterator[str]:
    head, *rest = entry.items()
    yield f"{printable(str(head[1]))}:"
    yield from (f"  {line}" for line in as_yaml(dict(rest)).splitlines())


def _plain(value: msgspec.Struct) -> Any:
    return json.loads(ENCODER.encode(value))
