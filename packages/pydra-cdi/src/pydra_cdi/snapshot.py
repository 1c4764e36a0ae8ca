"""What one reading of the spec directories found, as values that never change.

`Registry` makes them; runtimes inject from them, `explain` and the command line tell about them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydra_cdi._fragments import Fragment
from pydra_cdi.errors import CdiError
from pydra_cdi.model import Device, Spec


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A spec and where it came from.

    Attributes:
        path: The spec file.
        priority: The place of its directory in the registry's list.
        spec: What it says.
        fragments: What injection has cut out of the spec so far, by device ID; injection fills it.
    """

    path: Path
    priority: int
    spec: Spec
    fragments: dict[str, Fragment] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """A device that can be injected, with the file that defines it."""

    device_id: str
    device: Device
    origin: LoadedSpec


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one refresh found; never changes.

    Attributes:
        directories: The spec directories, lowest priority first.
        specs: Valid spec files in the order they were read, shadowed and conflicting ones too.
        devices: What can be injected, by device ID.
        conflicts: Device IDs that nobody can have, with the files that contradict each other.
        errors: What is wrong, by file.
        unread: Directories that count for nothing: the first that cannot be listed, and all after it, as in
            the reference library. A missing directory is not among them: it is empty.
    """

    directories: tuple[Path, ...] = ()
    specs: tuple[LoadedSpec, ...] = ()
    devices: Mapping[str, FoundDevice] = field(default_factory=lambda: MappingProxyType({}))
    conflicts: Mapping[str, tuple[Path, ...]] = field(default_factory=lambda: MappingProxyType({}))
    errors: Mapping[Path, tuple[CdiError, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    unread: Mapping[Path, CdiError] = field(default_factory=lambda: MappingProxyType({}))

    def find(self, device_id: str) -> FoundDevice | None:
        """Look a device up by its ID, `vendor/class=name`; None when it cannot be injected."""
        return self.devices.get(device_id)

    @property
    def vendors(self) -> tuple[str, ...]:
        """Vendors of all valid files, sorted."""
        return tuple(sorted({loaded.spec.vendor for loaded in self.specs}))

    @property
    def classes(self) -> tuple[str, ...]:
        """Device classes of all valid files, sorted."""
        return tuple(sorted({loaded.spec.device_class for loaded in self.specs}))
