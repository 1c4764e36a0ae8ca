"""Who a spec file belongs to, written into the spec itself, so that its owner can clean up after itself.

`SpecDirectory` marks what it writes and collects what is not wanted any more. File names cannot tell: two
programs of one vendor may write files of one kind, and an administrator may have put a third one there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import msgspec

from pydra_cdi.errors import CdiError
from pydra_cdi.file_names import SUFFIXES
from pydra_cdi.model import Spec
from pydra_cdi.reading import read_spec
from pydra_cdi.versions import KNOWN_VERSIONS, minimum_version

OWNER_ANNOTATION = "pydra-cdi/owner"


@dataclass(frozen=True, slots=True)
class Collected:
    """What `SpecDirectory.collect` did.

    Attributes:
        removed: The owner's spec files that were not to be kept (with `dry_run`: that would be removed).
        swept: Temporary files of killed writers that were removed.
        unreadable: Files that were left alone because nobody can tell whose they are, with the reason.
    """

    removed: tuple[Path, ...] = ()
    swept: tuple[Path, ...] = ()
    unreadable: Mapping[Path, CdiError] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class OwnedFile:
    """A spec file and which version of it was read."""

    path: Path
    identity: tuple[int, int, int]

    def is_unchanged(self) -> bool:
        """Tell whether the file is still the one that was read; another writer may have replaced it."""
        try:
            return _identity(self.path.lstat()) == self.identity
        except FileNotFoundError:
            return False


def owner_of(spec: Spec) -> str | None:
    """Tell who a spec belongs to; None when it does not say."""
    return spec.annotations.get(OWNER_ANNOTATION)


def with_owner(spec: Spec, owner: str) -> Spec:
    """Mark a spec as belonging to `owner`; its version becomes the lowest that will do where it was lower."""
    marked = msgspec.structs.replace(
        spec, annotations={**spec.annotations, OWNER_ANNOTATION: owner}
    )
    declared, needed = spec.cdi_version.removeprefix("v"), minimum_version(marked)
    if declared in KNOWN_VERSIONS[: KNOWN_VERSIONS.index(needed)]:
        return msgspec.structs.replace(marked, cdi_version=needed)
    return marked


def owned_files(directory: Path, owner: str) -> tuple[list[OwnedFile], dict[Path, CdiError]]:
    """Find an owner's spec files, and the spec files whose owner nobody can tell.

    Only regular files count: a link's maker did not write the spec behind it.

    Raises:
        OSError: The directory cannot be listed; a missing one is empty.
    """
    found, unreadable = [], {}
    for path, identity in _spec_files(directory):
        try:
            if owner_of(read_spec(path)) == owner:
                found.append(OwnedFile(path, identity))
        except CdiError as error:
            unreadable[path] = error
    return found, unreadable


def _spec_files(directory: Path) -> list[tuple[Path, tuple[int, int, int]]]:
    try:
        paths = sorted(path for path in directory.iterdir() if path.name.endswith(SUFFIXES))
    except FileNotFoundError:
        return []
    found = []
    for path in paths:
        with suppress(FileNotFoundError):  # removed since the directory was listed
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found.append((path, _identity(status)))
    return found


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_size
