"""All rules for a spec; finds every broken one, each with its path and its remedy.

Reading (`codec`) holds a spec to what the reference library refuses. Building and writing hold our own
output to more (`strict`): types, annotation rules that the specification names and the library does
not check, and mounts that no runtime can make.
Rests on the CDI specification (SPEC.md) and the Kubernetes rules for annotations it refers to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

from pydra_cdi._edits_rules import edits_faults, unbound_mounts
from pydra_cdi._shape import type_faults
from pydra_cdi.errors import MOST_FAULTS, Fault, shown
from pydra_cdi.model import Device, Spec
from pydra_cdi.names import device_fault, kind_faults
from pydra_cdi.versions import FLOOR, KNOWN_VERSIONS, required

_KEY_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_KEY_PREFIX = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_MAX_PREFIX = 253
_MAX_KEY = 1024
_MAX_ANNOTATIONS = 256 * 1024


def find_faults(spec: Spec, *, strict: bool = False) -> tuple[Fault, ...]:
    """Find every broken rule, in the order of the document; empty means valid.

    Args:
        spec: The spec; not changed.
        strict: Hold it to the rules for what we write ourselves as well, types of fields first: pass it for
            a spec built in Python (a decoded one has its types checked).
    """
    if strict and (wrong := type_faults(spec)):
        return tuple(wrong)
    found = tuple(islice(_faults(spec, strict=strict), MOST_FAULTS + 1))
    if len(found) <= MOST_FAULTS:
        return found
    return (*found[:MOST_FAULTS], Fault("", "there are more faults", "mend these first"))


def _faults(spec: Spec, *, strict: bool) -> Iterator[Fault]:
    yield from version_faults(spec)
    yield from kind_faults("kind", spec.kind)
    yield from _long_keys(spec.annotations, "annotations")
    if not spec.devices:
        yield Fault("devices", "there are none", "define at least one device")
    first_use: dict[str, int] = {}
    for index, device in enumerate(spec.devices):
        at = f"devices[{index}]"
        yield from _device(device, at)
        if (first := first_use.setdefault(device.name, index)) != index:
            message = f"{shown(device.name)} is the name of devices[{first}] already"
            yield Fault(f"{at}.name", message, "give each device its own name")
    yield from edits_faults(spec.container_edits, "containerEdits")
    if strict:
        yield from _strict(spec)


def version_faults(spec: Spec) -> Iterator[Fault]:
    """Yield what is wrong with the declared version: unknown, or too low for what the spec says."""
    declared = spec.cdi_version.removeprefix("v")
    need = required(spec)
    if declared not in KNOWN_VERSIONS:
        remedy = f"declare {need.version}; known are {FLOOR} to {KNOWN_VERSIONS[-1]}"
        yield Fault("cdiVersion", f"{shown(spec.cdi_version)} is no released version", remedy)
    elif KNOWN_VERSIONS.index(declared) < KNOWN_VERSIONS.index(need.version):
        where = f" ({need.path})" if need.path else ""
        message = f"{declared} is too low: {need.feature}{where} needs {need.version}"
        yield Fault("cdiVersion", message, f"declare {need.version} or do without it")


def _device(device: Device, at: str) -> Iterator[Fault]:
    if fault := device_fault(f"{at}.name", device.name):
        yield fault
    yield from _long_keys(device.annotations, f"{at}.annotations")
    if device.container_edits:
        yield from edits_faults(device.container_edits, f"{at}.containerEdits")
    else:
        remedy = "give the device at least one environment variable, node or mount, or leave it out"
        yield Fault(f"{at}.containerEdits", "the device edits nothing", remedy)


def _long_keys(annotations: Mapping[str, str], at: str) -> Iterator[Fault]:
    for key in annotations:
        if len(key) > _MAX_KEY:
            message = (
                f"a key of {len(key)} characters is more than the YAML parser of runtimes takes"
            )
            yield Fault(f"{at}[{key[:40]!r}...]", message, f"use at most {_MAX_PREFIX} characters")


def _strict(spec: Spec) -> Iterator[Fault]:
    yield from _annotations(spec.annotations, "annotations")
    yield from unbound_mounts(spec.container_edits, "containerEdits")
    for index, device in enumerate(spec.devices):
        yield from _annotations(device.annotations, f"devices[{index}].annotations")
        yield from unbound_mounts(device.container_edits, f"devices[{index}].containerEdits")


def _annotations(annotations: Mapping[str, str], at: str) -> Iterator[Fault]:
    for key in annotations:
        prefix, slash, name = key.rpartition("/")
        good_prefix = not slash or (len(prefix) <= _MAX_PREFIX and _KEY_PREFIX.fullmatch(prefix))
        if not (good_prefix and _KEY_NAME.fullmatch(name)):
            remedy = (
                "use name or dns.prefix/name; a name has at most 63 letters, digits, '_', '-', '.'"
            )
            yield Fault(f"{at}[{key!r}]", "the key breaks the rule for annotations", remedy)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > _MAX_ANNOTATIONS:
        yield Fault(
            at,
            f"{size} bytes are too many",
            f"keep keys and values within {_MAX_ANNOTATIONS} bytes",
        )
