"""Which definition of a device counts when several files define it; `_scan` hands over what it read.

Rests on the CDI specification, "CDI JSON Definition": a later directory beats an earlier one, two definitions
in one directory take the device away. As in the reference library, a conflict anywhere takes it away
everywhere, and a file that is in conflict with several others is told once for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from pydra_cdi.errors import CdiError, Fault, SpecError
from pydra_cdi.snapshot import FoundDevice, LoadedSpec, Snapshot


class ReadFile(Protocol):
    """A file that was read: a spec with its devices, or the error."""

    @property
    def path(self) -> Path: ...
    @property
    def loaded(self) -> LoadedSpec | None: ...
    @property
    def devices(self) -> tuple[FoundDevice, ...]: ...
    @property
    def error(self) -> CdiError | None: ...


def snapshot_of(
    directories: tuple[Path, ...], files: Iterable[ReadFile], unread: Mapping[Path, CdiError]
) -> Snapshot:
    """Decide about every device of the files, which come in the order of their directories."""
    verdict = _Verdict()
    for file in files:
        verdict.add(file)
    for device_id in verdict.conflicts:
        del verdict.devices[device_id]
    return Snapshot(
        directories=directories,
        specs=tuple(verdict.specs),
        devices=MappingProxyType(verdict.devices),
        conflicts=MappingProxyType({one: tuple(files) for one, files in verdict.conflicts.items()}),
        errors=MappingProxyType({path: tuple(found) for path, found in verdict.errors.items()}),
        unread=MappingProxyType(dict(unread)),
    )


class _Verdict:
    def __init__(self) -> None:
        self.specs: list[LoadedSpec] = []
        self.devices: dict[str, FoundDevice] = {}
        self.conflicts: dict[str, list[Path]] = {}
        self.errors: dict[Path, list[CdiError]] = {}

    def add(self, file: ReadFile) -> None:
        if file.error is not None:
            self._note(file.path, file.error)
        if file.loaded is not None:
            self.specs.append(file.loaded)
        for found in file.devices:
            held = self.devices.setdefault(found.device_id, found)
            if held is not found:
                self._decide(held, found)

    def _decide(self, held: FoundDevice, found: FoundDevice) -> None:
        if held.origin.priority < found.origin.priority:
            self.devices[found.device_id] = found
        else:
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
