"""From what vendor libraries say to what the resource API takes: versions, names, quantities, PCI and NUMA; pools.

For driver authors, in `discover`. What cannot be said exactly is left out: a selector would match "unknown" or -1
by accident.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pydra_core._values import AttributeValue, NodeRequirement, Nodes, Pool, Version

__all__ = [
    "NUMA_NODE",
    "PCIE_ROOT",
    "PCI_BUS_ID",
    "NodeRequirement",
    "Nodes",
    "Pool",
    "binary",
    "device_name",
    "pci_attributes",
    "pci_bus_id",
    "semver",
]

PCI_BUS_ID = "resource.kubernetes.io/pciBusID"
PCIE_ROOT = "resource.kubernetes.io/pcieRoot"
NUMA_NODE = "resource.kubernetes.io/numaNode"

_NUMBERS = re.compile(r"[vV]?(\d+(?:\.\d+)*)(.*)", re.DOTALL)
_BUS_ID = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")
_ROOT = re.compile(r"pci[0-9a-f]{4,}:[0-9a-f]{2}")
_MOST_LABEL, _MOST_TEXT = 63, 64
_DIGEST = 10
_UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def semver(text: str) -> Version | None:
    """A vendor's version as a strict semantic one (2.0.0): `550.120` is `550.120.0`, `535.086.10` is `535.86.10`.

    A fourth number and what follows become build metadata, which does not count in comparisons.

    Returns:
        None if it does not begin with a number.
    """
    found = _NUMBERS.fullmatch(text.strip())
    if not found:
        return None
    numbers = [str(int(n)) for n in found[1].split(".")]
    core = ".".join([*numbers, "0", "0"][:3])
    rest = [*numbers[3:], *re.findall("[0-9A-Za-z]+", found[2])]
    room = _MOST_TEXT - len(core) - 1
    build = ".".join(rest)[:room].strip(".")
    return Version(f"{core}+{build}" if build and room > 0 else core) if room >= -1 else None


def device_name(*parts: str | int) -> str:
    """A device's name from a UUID, bus ID or index: `device_name("gpu", "0000:3B:00.0")` is `gpu-0000-3b-00-0`.

    The same parts give the same name; what does not fit into 63 characters is cut and told apart by a digest.

    Raises:
        ValueError: no letter or digit is among the parts.
    """
    whole = "-".join(str(part) for part in parts)
    name = re.sub("[^a-z0-9]+", "-", whole.lower()).strip("-")
    if not name:
        raise ValueError(f"device name: {whole!r} holds no letter or digit")
    if len(name) <= _MOST_LABEL:
        return name
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_DIGEST]
    return f"{name[: _MOST_LABEL - _DIGEST - 1].rstrip('-')}-{digest}"


def binary(count: int) -> str:
    """Bytes as a quantity in the largest binary unit that says it exactly: `16Gi`."""
    unit = 0
    while count and count % 1024 == 0 and unit < len(_UNITS) - 1:
        count, unit = count // 1024, unit + 1
    return f"{count}{_UNITS[unit]}"


def pci_bus_id(text: str) -> str:
    """A PCI address as Kubernetes spells it: `00000000:3B:00.0` is `0000:3b:00.0`.

    Raises:
        ValueError: it is no bus, device and function.
    """
    found = _BUS_ID.fullmatch(text.strip().lower())
    if not found or int(found[1] or "0", 16) > 0xFFFF:  # noqa: PLR2004 (a PCI domain has 16 bits)
        raise ValueError(
            f"PCI bus ID {text!r}: must be [domain:]bus:device.function in hexadecimal"
        )
    return f"{int(found[1] or '0', 16):04x}:{found[2]}:{found[3]}.{found[4]}"


def pci_attributes(host: Path, bus_id: str) -> dict[str, AttributeValue]:
    """The standard attributes of a PCI device: its bus ID, PCIe root and NUMA node (KEP-4381, KEP-6072).

    Args:
        host: the driver's `host`, below which `/sys` is read.
        bus_id: in any spelling.

    Returns:
        What is known: no root if the device is not in sysfs, no NUMA node on a machine that tells none.

    Raises:
        ValueError: it is no bus ID.
    """
    address = pci_bus_id(bus_id)
    found: dict[str, AttributeValue] = {PCI_BUS_ID: address}
    device = host / "sys/bus/pci/devices" / address
    try:
        root = next((p for p in device.readlink().parts if _ROOT.fullmatch(p)), "")
    except OSError:
        root = ""
    if root:
        found[PCIE_ROOT] = root
    try:
        node = int((device / "numa_node").read_text(encoding="ascii"))
    except (OSError, ValueError):
        node = -1
    if node >= 0:
        found[NUMA_NODE] = node
    return found
