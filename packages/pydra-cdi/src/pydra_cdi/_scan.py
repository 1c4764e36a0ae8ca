"""The spec directories read file by file, each only when it changed; `Registry` is the only caller.

Files come and go and are replaced while they are read. What vanished between listing and reading was never
there; what was replaced is read again the next time, because it is known by the version that was looked at
before it was opened.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydra_cdi._precedence import snapshot_of
from pydra_cdi.errors import CdiError, SpecFileError
from pydra_cdi.file_names import SUFFIXES
from pydra_cdi.reading import read_spec
from pydra_cdi.snapshot import FoundDevice, LoadedSpec, Snapshot

_Version = tuple[int, int, int, int, int]
# Kernels stamp files by a clock that ticks up to every 10 ms: a file that changed less than this before it was
# looked at may change again under the same stamp.
_UNSETTLED_NS = 50_000_000


class ScannedFile(NamedTuple):
    """A file as it was read: a spec with its devices, or the error; `version` None is read again."""

    version: _Version | None
    loaded: LoadedSpec | None
    devices: tuple[FoundDevice, ...]
    path: Path
    error: CdiError | None


class Scanner:
    """Reads directories and remembers what it read."""

    def __init__(self, directories: Sequence[Path], size_limit: int) -> None:
        self._directories = tuple(directories)
        self._size_limit = size_limit
        self._files: dict[tuple[int, str], ScannedFile] = {}
        self._unread: dict[Path, CdiError] = {}
        self.snapshot = Snapshot(self._directories)

    def scan(self) -> Snapshot:
        """Bring the snapshot up to date; the same one is returned when nothing changed."""
        files: dict[tuple[int, str], ScannedFile] = {}
        unread: dict[Path, CdiError] = {}
        for priority, directory in enumerate(self._directories):
            try:
                names = _spec_names(directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                unread = dict(_unread(self._directories[priority:], error))
                break
            for name in names:
                file = self._file((priority, name), f"{directory}/{name}")
                if file is not None:
                    files[priority, name] = file
        changed = not _same(files, self._files) or _texts(unread) != _texts(self._unread)
        self._files = files
        if changed:
            self._unread = unread
            self.snapshot = snapshot_of(self._directories, files.values(), unread)
        return self.snapshot

    def _file(self, key: tuple[int, str], path: str) -> ScannedFile | None:
        now = time.time_ns()
        version = _version(path)
        known = self._files.get(key)
        if known is not None and version is not None and known.version == version:
            return known
        settled = version is not None and now - version[-1] > _UNSETTLED_NS
        read = self._read(key[0], path, version if settled else None)
        if read is not None and known is not None and _equal(read, known):
            return known._replace(version=read.version)
        return read

    def _read(self, priority: int, path: str, version: _Version | None) -> ScannedFile | None:
        place = Path(path)
        try:
            spec = read_spec(place, size_limit=self._size_limit)
        except CdiError as error:
            gone = isinstance(error, SpecFileError) and not os.path.lexists(path)
            return None if gone else ScannedFile(version, None, (), place, error)
        loaded = LoadedSpec(place, priority, spec)
        kind = spec.kind
        devices = tuple(FoundDevice(f"{kind}={one.name}", one, loaded) for one in spec.devices)
        return ScannedFile(version, loaded, devices, place, None)


def _spec_names(directory: Path) -> list[str]:
    with os.scandir(directory) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.endswith(SUFFIXES) and not entry.is_dir(follow_symlinks=False)
        ]
    return sorted(names, key=os.fsencode)


def _unread(directories: Sequence[Path], error: OSError) -> Iterator[tuple[Path, CdiError]]:
    first, *later = directories
    remedy = "make it a readable directory, or take it out of the list of spec directories"
    yield first, SpecFileError(first, f"it cannot be listed: {error.strerror}", remedy)
    for directory in later:
        message = f"it is not read, because {first} before it cannot be listed"
        yield directory, SpecFileError(directory, message, f"see to {first}")


def _version(path: str) -> _Version | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path for each file would take longer than all the rest
    except OSError:
        return None
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _same(
    one: Mapping[tuple[int, str], ScannedFile], other: Mapping[tuple[int, str], ScannedFile]
) -> bool:
    return one.keys() == other.keys() and all(
        file.loaded is other[key].loaded and file.error is other[key].error
        for key, file in one.items()
    )


def _equal(read: ScannedFile, known: ScannedFile) -> bool:
    if read.loaded is None or known.loaded is None:
        return read.loaded is known.loaded and str(read.error) == str(known.error)
    return read.loaded == known.loaded


def _texts(unread: Mapping[Path, CdiError]) -> list[str]:
    return list(map(str, unread.values()))
