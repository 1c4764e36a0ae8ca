"""Opaque parameters held against the models of the drivers that are installed here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import msgspec

from pydra_core._parameters.checking import faults
from pydra_core._parameters.decoding import ParametersError, decode
from pydra_core._parameters.models import shape_of
from pydra_core.driver import Driver
from pydra_testbed.validate.documents import Document
from pydra_testbed.validate.findings import Finding, Severity

_PLACES = {
    "DeviceClass": ("spec",),
    "ResourceClaim": ("spec", "devices"),
    "ResourceClaimTemplate": ("spec", "spec", "devices"),
}


def installed() -> dict[str, type[Driver]]:
    """Driver classes by the name their parameters are addressed to; one that cannot be loaded is told of."""
    found: dict[str, type[Driver]] = {}
    for entry in entry_points(group="pydra.drivers"):
        try:
            loaded = entry.load()
        except (ImportError, AttributeError) as err:
            sys.stderr.write(f"driver {entry.name}: its package cannot be loaded: {err}\n")
            continue
        if isinstance(loaded, type) and issubclass(loaded, Driver):
            found[loaded.name] = loaded
    return found


def check(documents: Sequence[Document], drivers: Mapping[str, type[Driver]]) -> Iterator[Finding]:
    """Every parameter object of classes, claims and templates."""
    for document in documents:
        if document.kind in _PLACES:
            for path, entry in _entries(document):
                yield from _entry(document, path, entry, drivers)


def _entries(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    steps = _PLACES[document.kind]
    holder: Any = document.body
    for step in steps:
        holder = holder.get(step) if isinstance(holder, dict) else None
    entries = holder.get("config") if isinstance(holder, dict) else None
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        opaque = entry.get("opaque") if isinstance(entry, dict) else None
        if isinstance(opaque, dict):
            yield f"{'.'.join(steps)}.config[{index}].opaque", opaque


def _entry(
    document: Document, path: str, opaque: Mapping[str, Any], drivers: Mapping[str, type[Driver]]
) -> Iterator[Finding]:
    name, value = opaque.get("driver"), opaque.get("parameters")
    driver = drivers.get(name) if isinstance(name, str) else None
    where = f"{path}.parameters"
    if driver is None:
        known = ", ".join(sorted(drivers)) or "none"
        message = f"driver {name} is not installed here, so its parameters were not checked; installed: {known}"
        yield document.finding(f"{path}.driver", message, Severity.WARNING)
    elif driver.config is None:
        yield document.finding(where, f"driver {name} takes no parameters; remove them")
    elif isinstance(value, dict):  # anything else the API server refuses
        yield from _faults(document, where, driver, value)


def _faults(
    document: Document, where: str, driver: type[Driver], value: dict[str, Any]
) -> Iterator[Finding]:
    found = list(faults(shape_of(driver.config), value))
    for fault in found:
        separator = "." if fault.path and not fault.path.startswith("[") else ""
        yield document.finding(f"{where}{separator}{fault.path}", fault.says)
    if not found:
        try:
            decode(driver.config, msgspec.json.encode(value))
        except ParametersError as err:
            yield document.finding(where, str(err))
