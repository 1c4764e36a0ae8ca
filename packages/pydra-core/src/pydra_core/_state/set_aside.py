"""Devices an operator set aside on this node: a small file beside the journal, written by `taint` and `untaint`.

The running driver looks at it once a second, so that the commands need no door into it, and a restart changes
nothing. A file that cannot be read sets nothing aside and is never overwritten.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pydra_core.errors import HostError

FILE_NAME = "set-aside.json"
_VERSION = 1


class SetAside(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a device of the node was set aside, and the effect of its taint."""

    reason: str
    effect: str = "NoSchedule"


class _File(msgspec.Struct):
    version: int
    devices: dict[str, SetAside]


def read(path: Path) -> dict[str, SetAside]:
    """The devices that are set aside, by name (`pool/name` for a further pool of the node); none without a file.

    Raises:
        HostError: the file cannot be read, or a newer version of the driver wrote it.
    """
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as err:
        raise _unreadable(path, str(err)) from err
    if content.version != _VERSION:
        raise _unreadable(path, f"its version is {content.version}, this driver knows {_VERSION}")
    return content.devices


def change(path: Path, edit: Callable[[dict[str, SetAside]], None]) -> None:
    """Edit the file; what is there afterwards is the old or the new list, whenever the power fails.

    Raises:
        HostError: it can be neither read nor written.
    """
    try:
        with _locked(path.parent):
            devices = read(path)
            edit(devices)
            _replace(path, msgspec.json.encode(_File(_VERSION, devices)))
    except OSError as err:
        raise HostError(
            f"file {path}: cannot be written: {err.strerror}; run this where the driver's directory below the"
            " kubelet root is mounted, with the rights of the driver",
            path=str(path),
        ) from err


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Two commands at once change the file one after the other."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
        os.fsync(fd)
    finally:
        os.close(fd)


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)
    new.replace(path)


def _unreadable(path: Path, why: str) -> HostError:
    return HostError(
        f"file {path}: cannot be read: {why}; correct or remove it, then set devices aside again with `taint`",
        path=str(path),
    )
