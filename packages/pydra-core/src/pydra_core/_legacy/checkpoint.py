"""Reads the kubelet's own file of which container has which device IDs: it also names those of init containers.

The pod-resources API names containers and sidecars, and not init containers that end. The file names all, but goes
stale: the kubelet writes it when it allocates and when a device plugin sends a list, so pods that ended are in it until
then. `dual` gives it to `vetoing`. It is only read.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

import msgspec

from pydra_core._legacy.podresources import Name

_log = logging.getLogger(__name__)
FILE_NAME = "kubelet_internal_checkpoint"
"""In the folder where the kubelet listens for device plugins."""
LARGEST = 32 << 20
"""Bytes; with each container's IDs it holds the device plugin's whole answer."""


class _Entry(msgspec.Struct):
    """What one container has of one resource: IDs by NUMA node, before Kubernetes 1.20 IDs alone."""

    resource: str = msgspec.field(name="ResourceName")
    ids: dict[str, list[str] | None] | list[str] | None = msgspec.field(name="DeviceIDs")


class _Data(msgspec.Struct):
    entries: list[_Entry] | None = msgspec.field(name="PodDeviceEntries")


class _File(msgspec.Struct):
    data: _Data = msgspec.field(name="Data")


class Checkpoint:
    """The file of one kubelet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problem = ""

    def names(self) -> frozenset[Name]:
        """What containers have by the file; nothing if it cannot be read, which is logged once."""
        found, problem = frozenset[Name](), ""
        try:
            found = _named(msgspec.json.decode(_content(self._path), type=_File))
        except OSError as err:
            problem = err.strerror or str(err)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            problem = f"its format is not known here: {err}"
        if problem and not self._problem:
            details = {"path": self._path, "why": problem}
            _log.warning("devices of init containers are not seen", extra=details)
        self._problem = problem
        return found


def _content(path: Path) -> bytes:
    """Never waits, whatever lies there. Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(errno.EFBIG, f"is larger than {LARGEST} bytes")
    return content


def _named(file: _File) -> frozenset[Name]:
    return frozenset(
        (entry.resource, name) for entry in file.data.entries or () for name in _ids(entry)
    )


def _ids(entry: _Entry) -> list[str]:
    if isinstance(entry.ids, dict):
        return [name for names in entry.ids.values() for name in names or ()]
    return entry.ids or []
