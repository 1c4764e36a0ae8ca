"""Spec files a driver writes into a CDI directory: their names, atomic writing, removal, cleaning up.

`pydra_core` writes one file for each prepared claim here. Names follow the reference library
(`vendor-class`, `vendor-class_id`), the encoding is always JSON. Runtimes watch the directory for
renames inside it, so a temporary file lies in the same directory until it is renamed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydra_cdi._atomic import MODE, TEMP_PREFIX, TEMP_SUFFIX, remove_if_abandoned, replace
from pydra_cdi.codec import encode_spec, parse_spec
from pydra_cdi.errors import Fault, SpecError, SpecFileError
from pydra_cdi.model import Spec
from pydra_cdi.names import kind_faults
from pydra_cdi.reading import SIZE_LIMIT, read_file
from pydra_cdi.validation import find_faults

DYNAMIC_DIRECTORY = Path("/var/run/cdi")
_MAX_NAME = 255
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


def spec_file_name(kind: str, transient_id: str | None = None) -> str:
    """Name the file for a kind, or for one transient spec of it; always one component of a path.

    Args:
        kind: `vendor/class`.
        transient_id: What the file is for, like a claim UID; a slash in it becomes `_`, so IDs
            that differ only in that share a file.

    Raises:
        SpecError: The kind is not valid, or the ID is empty, not printable or too long for a file name.
    """
    faults = kind_faults("kind", kind)
    stem = kind.replace("/", "-")
    if transient_id is not None:
        stem += "_" + transient_id.replace("/", "_")
        if not transient_id or not transient_id.isprintable():
            faults.append(
                Fault(
                    "transient_id",
                    f"{transient_id!r} is no ID",
                    "use printable text, like a claim UID",
                )
            )
    if not faults and len(f"{stem}.json".encode()) > _MAX_NAME:
        faults.append(Fault("", f"it is longer than {_MAX_NAME} bytes", "use a shorter ID"))
    if faults:
        raise SpecError(f"the spec file name for {kind!r}", faults)
    return f"{stem}.json"


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
    """

    path: Path = DYNAMIC_DIRECTORY
    fsync: bool = False

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
        if faults := find_faults(spec, strict=True):
            raise SpecError(f"CDI spec {spec.kind}", faults)
        target = self.file(spec.kind, transient_id)
        data = encode_spec(spec)
        if self._holds(target, data, spec.kind):
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
        target = self.file(kind, transient_id)
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
