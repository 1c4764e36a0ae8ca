"""One file replaced at once and whole; `files` is the only caller.

A temporary file is locked for as long as its writer lives, so that cleaning up can tell the leftover of a
killed writer from the work of a live one without guessing by age.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

TEMP_PREFIX = ".pydra-cdi."
TEMP_SUFFIX = ".tmp"
MODE = 0o644
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def replace(target: Path, data: bytes, *, fsync: bool) -> None:
    """Give `target` the content and mode 0644; readers see the old file or the new one, never a part.

    Raises:
        OSError: Nothing changed, and no temporary file is left.
    """
    while not _replaced(target, data, fsync=fsync):
        pass  # a cleaner took the temporary file between open and lock: try another name


def _replaced(target: Path, data: bytes, *, fsync: bool) -> bool:
    temp = target.parent / f"{TEMP_PREFIX}{os.urandom(8).hex()}{TEMP_SUFFIX}"
    descriptor = os.open(temp, _CREATE, MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not os.fstat(descriptor).st_nlink:
                return False
            os.fchmod(descriptor, MODE)  # whatever the umask
            file.write(data)
            file.flush()
            if fsync:
                os.fsync(descriptor)
            temp.rename(target)
            return True
    except BaseException:
        with suppress(OSError):
            temp.unlink()
        raise


def remove_if_abandoned(temp: Path) -> bool:
    """Remove a temporary file whose writer is gone; tell whether it was removed.

    What is no regular file is no writer's, and opening a fifo would wait for ever.

    Raises:
        OSError: It is abandoned and cannot be removed.
    """
    try:
        if not stat.S_ISREG(temp.lstat().st_mode):
            return False
        descriptor = os.open(temp, _READ)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        temp.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(descriptor)
    return True
