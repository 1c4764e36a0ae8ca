"""What can be learned of a directory without leaving a trace in it.

Whether it can be written is asked by opening a file without a name (`O_TMPFILE`): it never appears in the
directory, wakes no watcher of the kubelet or the runtime, and is gone when it is closed.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
_FIXES = {
    errno.EROFS: "mount it read-write (no `readOnly: true` on this volumeMount)",
    errno.ENOSPC: "free space or inodes on its file system (`df -h {0}; df -i {0}`)",
    errno.EDQUOT: "raise the quota of its file system, or free space",
}
_OTHERS_WRITE = stat.S_IWOTH


def is_seen(directory: Path) -> bool:
    """Whether it is a directory as far as this process may see: what it may not look at counts as missing."""
    try:
        return directory.is_dir()
    except PermissionError:
        return False


def refusal(directory: Path) -> OSError | None:
    """Why no file can be made in an existing directory, None if one can."""
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as err:
        if err.errno not in _NO_TMPFILE:
            return err
        if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
            return PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return None


def fix_for(err: OSError, directory: Path) -> str:
    """What to do about a refusal."""
    general = f"run the driver as root, or as the owner of {directory}"
    return _FIXES.get(err.errno or 0, general).format(directory)


def owner(directory: Path) -> str:
    """Owner and permissions, like `uid 0, mode 0755`. Raises `OSError`."""
    status = directory.stat()
    return f"uid {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}"


def anyone_may_write(directory: Path) -> bool:
    """Whether every user of the node can put files there. Raises `OSError`."""
    return bool(directory.stat().st_mode & _OTHERS_WRITE)


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system `path` lies on.

    Args:
        path: an existing path, symlinks resolved.
        mounts: the text of `/proc/self/mountinfo`; of mounts at one place the last counts.
    """
    best, kind = -1, "unknown"
    for line in mounts.splitlines():
        front, _, back = line.partition(" - ")
        fields, types = front.split(" "), back.split(" ")
        if len(fields) < 5:  # noqa: PLR2004 (the fifth is the mount point)
            continue
        point = Path(_unescaped(fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), types[0]
    return kind


def _unescaped(text: str) -> str:
    """The kernel writes blanks in mount points as octal escapes."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
