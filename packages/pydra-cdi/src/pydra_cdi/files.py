"""Spec files a driver writes into a CDI directory: their names, atomic writing, removal, cleaning up.

`pydra_core` writes one file for each prepared claim here, always as JSON, under the names that the
reference library generates (`vendor-class`, `vendor-class_id`); `write_named` writes under any name, in the
encoding its suffix says. Runtimes watch the directory for renames inside it, so a temporary file lies in the
same directory until it is renamed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pydra_cdi._atomic import MODE, TEMP_PREFIX, TEMP_SUFFIX, remove_if_abandoned, replace
from pydra_cdi._reference_text import reference_json, reference_yaml
from pydra_cdi.codec import encode_spec, parse_spec
from pydra_cdi.errors import SpecError, SpecFileError
from pydra_cdi.file_names import named_file, spec_file_name
from pydra_cdi.model import Spec
from pydra_cdi.ownership import Collected, owned_files, with_owner
from pydra_cdi.reading import SIZE_LIMIT, read_file
from pydra_cdi.validation import find_faults

DYNAMIC_DIRECTORY = Path("/var/run/cdi")
_REMEDIES = {
    errno.EROFS: "mount the file system read-write or choose another CDI directory",
    errno.ENOSPC: "free space on that file system",
    errno.EDQUOT: "raise the quota or free space",
    errno.EFBIG: "raise the file size limit of this process",
    errno.EACCES: "run as a user that may write there or choose another CDI directory",
    errno.EPERM: "run as a user that may write there or choose another CDI directory",
    errno.ENOTDIR: "remove the file that stands where a directory belongs",
    errno.EEXIST: "remove the file that stands where a directory belongs",
    errno.EIO: "look for disk errors in the kernel log and replace the disk",
    errno.EISDIR: "remove the directory that stands where the file belongs",
}


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """Where a spec lies now, and whether the file had to be written for it."""

    path: Path
    changed: bool


@dataclass(frozen=True, slots=True)
class SpecDirectory:
    """A CDI directory that this program writes specs into.

    Attributes:
        path: The directory; made with mode 0755 when it is missing.
        fsync: Wait for the disk. Not needed on tmpfs, which `/var/run` is on nodes.
        owner: Whose files these are: written into each spec as an annotation, which needs 0.6.0, so that
            `collect` finds them again. Empty: specs are written as they are.
    """

    path: Path = DYNAMIC_DIRECTORY
    fsync: bool = False
    owner: str = ""

    def file(self, kind: str, transient_id: str | None = None) -> Path:
        """Tell where the spec lies or would lie; see `spec_file_name` for errors."""
        return self.path / spec_file_name(kind, transient_id)

    def write(self, spec: Spec, transient_id: str | None = None) -> WrittenFile:
        """Put a spec in place at once and whole, mode 0644; an equal file is left alone.

        Raises:
            SpecError: The spec or the ID is not valid; nothing was written.
            SpecFileError: The directory cannot take it, or the file belongs to another kind; an earlier file
                is untouched.
        """
        return self._put(spec, self.file(spec.kind, transient_id), encode_spec)

    def write_named(self, spec: Spec, name: str) -> WrittenFile:
        """Put a spec in place under an explicit name, byte for byte as the reference library writes it.

        Args:
            spec: What to write.
            name: `.json` and `.yaml` at its end say the encoding; any other name gets `.yaml` added.

        Raises:
            SpecError: The spec or the name is not valid (it may not be hidden or lead out of the directory).
            SpecFileError: The directory cannot take it, or the file belongs to another kind.
        """
        target = self.path / named_file(name)
        encode = reference_json if target.suffix == ".json" else reference_yaml
        return self._put(spec, target, encode)

    def _put(self, spec: Spec, target: Path, encode: Callable[[Spec], bytes]) -> WrittenFile:
        marked = with_owner(spec, self.owner) if self.owner else spec
        if faults := find_faults(marked, strict=True):
            raise SpecError(f"CDI spec {spec.kind}", faults)
        return self._place(spec.kind, encode(marked), target)

    def put(self, kind: str, data: bytes, transient_id: str | None = None) -> WrittenFile:
        """Put in place what `encode_spec` made of a valid spec, as `write` does, without checking it once more.

        Args:
            kind: The spec's kind.
            data: Its encoding, to the byte.
            transient_id: As for `write`.

        Raises:
            SpecError: The kind or the ID is not valid.
            SpecFileError: As for `write`.
        """
        return self._place(kind, data, self.file(kind, transient_id))

    def _place(self, kind: str, data: bytes, target: Path) -> WrittenFile:
        if self._holds(target, data, kind):
            return WrittenFile(target, changed=False)
        with _file_errors(target):
            self._make()
            replace(target, data, fsync=self.fsync)
            self._sync(self.path)
        return WrittenFile(target, changed=True)

    def remove(self, kind: str, transient_id: str | None = None) -> bool:
        """Remove a spec file; a missing one is no error.

        Returns:
            Whether there was one.

        Raises:
            SpecError: The kind or the ID is not valid.
            SpecFileError: It is there and cannot be removed.
        """
        return self._remove(self.file(kind, transient_id))

    def remove_named(self, name: str) -> bool:
        """Remove the spec file of an explicit name, which `write_named` would write; see `remove`.

        Raises:
            SpecError: The name is not valid.
            SpecFileError: It is there and cannot be removed.
        """
        return self._remove(self.path / named_file(name))

    def _remove(self, target: Path) -> bool:
        with _file_errors(target):
            try:
                target.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return False
            self._sync(self.path)
        return True

    def sweep(self) -> tuple[Path, ...]:
        """Remove temporary files that killed writers left, never those of a writer at work.

        Returns:
            What was removed.

        Raises:
            SpecFileError: A leftover cannot be removed.
        """
        with _file_errors(self.path):
            found = sorted(self.path.glob(f"{TEMP_PREFIX}*{TEMP_SUFFIX}"))
            return tuple(path for path in found if remove_if_abandoned(path))

    def collect(self, owner: str, *, keep: Iterable[Path] = (), dry_run: bool = False) -> Collected:
        """Remove the spec files of an owner that are not to be kept, and what killed writers left.

        A file belongs to whom its spec says (`owner=` of this class or `SpecBuilder.owner`), never to whom its
        name looks like, so files of other programs of the same vendor and of people stay, and so do files
        that nobody can read. Drivers on `pydra_core` need no owner: there the name of a spec file is a claim
        UID below the driver's own kind, and what may stay is known from the journal.

        Args:
            owner: Whose files.
            keep: Files that stay, by their last component.
            dry_run: Remove nothing, only tell what would be removed.

        Raises:
            SpecFileError: A file cannot be removed, or the directory not be listed.
        """
        kept = {path.name for path in keep}
        with _file_errors(self.path):
            found, unreadable = owned_files(self.path, owner)
        doomed = [file for file in found if file.path.name not in kept]
        if not dry_run:
            doomed = [file for file in doomed if file.is_unchanged() and self._remove(file.path)]
        removed = tuple(file.path for file in doomed)
        return Collected(removed, () if dry_run else self.sweep(), MappingProxyType(unreadable))

    def _holds(self, target: Path, data: bytes, kind: str) -> bool:
        """Tell whether the file is as wanted; refuse one that another kind owns by the same name."""
        try:
            status = target.lstat()
        except OSError:
            return False
        if not stat.S_ISREG(status.st_mode):
            return False
        try:
            present = read_file(target, SIZE_LIMIT)
        except SpecFileError:
            return False
        if present == data:
            return stat.S_IMODE(status.st_mode) == MODE
        if (owner := _kind_of(present)) not in {None, kind}:
            remedy = "choose another vendor or class: '-' joins them in file names, so two kinds can share one"
            raise SpecFileError(target, f"it holds a spec of kind {owner}, not {kind}", remedy)
        return False

    def _make(self) -> None:
        if not self.path.is_dir():
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o755)  # whatever the umask: others read what is in it
            self._sync(self.path.parent)

    def _sync(self, directory: Path) -> None:
        if self.fsync:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _kind_of(data: bytes) -> str | None:
    try:
        return parse_spec(data).kind
    except SpecError:
        return None


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check the directory and the process's rights")
        raise SpecFileError(path, f"it cannot be changed: {error.strerror}", remedy) from error
