"""Which devices the spec directories of a node define, as a runtime sees them.

Runtimes (the testbed's among them) refresh a `Registry` and inject from its snapshot. Rests on the CDI
specification, "CDI JSON Definition": directories in order of priority, a later one beats an earlier one,
two files of one priority that define the same device take it away from both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydra_cdi.errors import CdiError, Fault, SpecError, SpecFileError
from pydra_cdi.model import Device, Spec
from pydra_cdi.reading import SIZE_LIMIT, read_spec

DEFAULT_DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"))
_SUFFIXES = (".json", ".yaml")


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A spec and where it came from; `priority` is the place of its directory in the registry's list."""

    path: Path
    priority: int
    spec: Spec


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
        errors: What is wrong, by file (or directory).
    """

    directories: tuple[Path, ...] = ()
    specs: tuple[LoadedSpec, ...] = ()
    devices: Mapping[str, FoundDevice] = field(default_factory=lambda: MappingProxyType({}))
    conflicts: Mapping[str, tuple[Path, ...]] = field(default_factory=lambda: MappingProxyType({}))
    errors: Mapping[Path, tuple[CdiError, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )

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


class Registry:
    """The spec directories of a node, read when asked to.

    `snapshot` is what the last `refresh` found, and empty before the first.
    """

    def __init__(
        self, directories: Sequence[Path] = DEFAULT_DIRECTORIES, *, size_limit: int = SIZE_LIMIT
    ) -> None:
        self.directories = tuple(directories)
        self._size_limit = size_limit
        self.snapshot = Snapshot(self.directories)

    def refresh(self) -> Snapshot:
        """Read all directories anew. Never raises for what it finds: see `Snapshot.errors`."""
        scan = _Scan()
        for priority, directory in enumerate(self.directories):
            for path in scan.list_files(directory):
                scan.load(path, priority, self._size_limit)
        self.snapshot = scan.result(self.directories)
        return self.snapshot


class _Scan:
    """One pass over the directories."""

    def __init__(self) -> None:
        self.specs: list[LoadedSpec] = []
        self.devices: dict[str, FoundDevice] = {}
        self.conflicts: dict[str, list[Path]] = {}
        self.errors: dict[Path, list[CdiError]] = {}

    def list_files(self, directory: Path) -> Iterator[Path]:
        try:
            with os.scandir(directory) as entries:
                found = [
                    e.name
                    for e in entries
                    if e.name.endswith(_SUFFIXES) and not e.is_dir(follow_symlinks=False)
                ]
        except FileNotFoundError:
            return
        except OSError as error:
            remedy = "make it a readable directory, or take it out of the list of spec directories"
            self._note(
                directory,
                SpecFileError(directory, f"it cannot be listed: {error.strerror}", remedy),
            )
            return
        yield from (directory / name for name in sorted(found, key=os.fsencode))

    def load(self, path: Path, priority: int, size_limit: int) -> None:
        try:
            loaded = LoadedSpec(path, priority, read_spec(path, size_limit=size_limit))
        except CdiError as error:
            self._note(path, error)
            return
        self.specs.append(loaded)
        kind = loaded.spec.kind
        for device in loaded.spec.devices:
            self._define(FoundDevice(f"{kind}={device.name}", device, loaded))

    def _define(self, found: FoundDevice) -> None:
        held = self.devices.get(found.device_id)
        if held is None or held.origin.priority < found.origin.priority:
            self.devices[found.device_id] = found
        elif held.origin.priority == found.origin.priority:
            self._conflict(held, found)

    def _conflict(self, first: FoundDevice, second: FoundDevice) -> None:
        files = self.conflicts.setdefault(first.device_id, [])
        for one, other in ((first, second), (second, first)):
            if one.origin.path not in files:
                files.append(one.origin.path)
            message = f"{other.origin.path} in the same directory defines {one.device_id} too, so neither counts"
            place = one.origin.spec.devices.index(one.device)
            fault = Fault(
                f"devices[{place}].name", message, "rename one of them or remove its file"
            )
            self._note(one.origin.path, SpecError(f"CDI spec file {one.origin.path}", [fault]))

    def _note(self, path: Path, error: CdiError) -> None:
        self.errors.setdefault(path, []).append(error)

    def result(self, directories: tuple[Path, ...]) -> Snapshot:
        devices = {
            name: found for name, found in self.devices.items() if name not in self.conflicts
        }
        return Snapshot(
            directories=directories,
            specs=tuple(self.specs),
            devices=MappingProxyType(devices),
            conflicts=MappingProxyType(
                {name: tuple(files) for name, files in self.conflicts.items()}
            ),
            errors=MappingProxyType({path: tuple(errors) for path, errors in self.errors.items()}),
        )
