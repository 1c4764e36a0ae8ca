"""CDI spec versions: which exist, and which one a spec needs at least.

The builder declares the lowest version that will do, because a runtime refuses versions newer than
its library (containerd 1.7 knows none after 0.8.0); validation refuses a version too low.
Rests on the version table of the CDI specification (SPEC.md, "Released versions").
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydra_cdi.model import ContainerEdits, IntelRdt, Spec
from pydra_cdi.names import split_kind

FLOOR = "0.3.0"
KNOWN_VERSIONS = (
    "0.1.0",
    "0.2.0",
    FLOOR,
    "0.4.0",
    "0.5.0",
    "0.6.0",
    "0.7.0",
    "0.8.0",
    "1.0.0",
    "1.1.0",
)


class Requirement(NamedTuple):
    """A version and what in the spec needs it (`path` is empty for the floor, which all need)."""

    version: str
    path: str
    feature: str


def minimum_version(spec: Spec) -> str:
    """Give the lowest version that can say everything the spec says; what it declares plays no part."""
    return required(spec).version


def required(spec: Spec) -> Requirement:
    """Find the feature that needs the highest version; of several, the first in the document."""
    highest = Requirement(FLOOR, "", "every spec")
    for candidate in requirements(spec):
        if KNOWN_VERSIONS.index(candidate.version) > KNOWN_VERSIONS.index(highest.version):
            highest = candidate
    return highest


def requirements(spec: Spec) -> Iterator[Requirement]:
    """Yield every feature that needs more than the floor, in the order of the document."""
    vendor, device_class = split_kind(spec.kind)
    if vendor and "." in device_class:
        yield Requirement("0.6.0", "kind", "a class with a dot")
    if spec.annotations:
        yield Requirement("0.6.0", "annotations", "annotations")
    yield from _edits(spec.container_edits, "containerEdits")
    for index, device in enumerate(spec.devices):
        at = f"devices[{index}]"
        if "0" <= device.name[:1] <= "9":
            yield Requirement("0.5.0", f"{at}.name", "a device name that begins with a digit")
        if device.annotations:
            yield Requirement("0.6.0", f"{at}.annotations", "annotations")
        yield from _edits(device.container_edits, f"{at}.containerEdits")


def _edits(edits: ContainerEdits, at: str) -> Iterator[Requirement]:
    if edits.net_devices:
        yield Requirement("1.1.0", f"{at}.netDevices", "network devices")
    if edits.intel_rdt is not None:
        yield from _rdt(edits.intel_rdt, f"{at}.intelRdt")
    if edits.additional_gids:
        yield Requirement("0.7.0", f"{at}.additionalGids", "additional group IDs")
    for index, node in enumerate(edits.device_nodes):
        if node.host_path:
            yield Requirement("0.5.0", f"{at}.deviceNodes[{index}].hostPath", "a host path")
    for index, mount in enumerate(edits.mounts):
        if mount.type:
            yield Requirement("0.4.0", f"{at}.mounts[{index}].type", "a mount type")


def _rdt(rdt: IntelRdt, at: str) -> Iterator[Requirement]:
    yield Requirement("0.7.0", at, "Intel RDT")
    if rdt.schemata is not None:
        yield Requirement("1.1.0", f"{at}.schemata", "schemata")
    if rdt.enable_monitoring:
        yield Requirement("1.1.0", f"{at}.enableMonitoring", "monitoring")
