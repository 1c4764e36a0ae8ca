"""Reading one spec file from disk, safely: `Registry` and tools call it.

A spec directory is input from others: a fifo must not hang the reader, a huge file not fill its memory.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from pydra_cdi.codec import decode_spec
from pydra_cdi.errors import SpecFileError
from pydra_cdi.model import Spec

SIZE_LIMIT = 8 * 1024 * 1024
_REMEDIES = {
    errno.ENOENT: "correct the path, or mend the symlink that leads there",
    errno.ELOOP: "mend the symlinks, which lead in a circle",
    errno.EMFILE: "raise the limit of open files of this process",
}


def read_spec(path: Path, *, size_limit: int = SIZE_LIMIT) -> Spec:
    """Read and validate a spec file, JSON or YAML whatever its suffix.

    Args:
        path: The file; a symlink is followed.
        size_limit: Largest size to accept, in bytes.

    Raises:
        SpecFileError: It cannot be read, is no regular file or is too large.
        SpecError: Its content is not a valid spec.
    """
    return decode_spec(read_file(path, size_limit), source=f"CDI spec file {path}")


def read_file(path: Path, size_limit: int) -> bytes:
    """Read a regular file of at most `size_limit` bytes.

    Raises:
        SpecFileError: It cannot be read, is no regular file or is too large.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SpecFileError(
                    path, "it is no regular file", "remove it or give it another suffix"
                )
            data = file.read(size_limit + 1)
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "make it readable for this process, or remove it")
        raise SpecFileError(path, f"it cannot be read: {error.strerror}", remedy) from error
    if len(data) > size_limit:
        raise SpecFileError(
            path, f"it has more than {size_limit} bytes", "remove it: no spec is that large"
        )
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a fifo without a writer would block here for ever
