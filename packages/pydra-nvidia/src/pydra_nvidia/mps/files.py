"""The keeper's small files: replaced whole, so that a kill leaves the old or the new one, and distrusted when read.

They lie on a tmpfs, as the daemons they speak of do not outlive the machine either: nothing is synced.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from pydra_core.errors import HostError

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class UnreadableError(HostError):
    """A file is not what the keeper wrote. Fields: `aside`, where it lies now."""

    reason = "UnreadableFile"


def write(path: Path, value: object) -> None:
    """Put a value there.

    Raises:
        HostError: the folder takes no file.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_bytes(msgspec.json.encode(value) + b"\n")
        fresh.chmod(0o600)
        fresh.replace(path)
    except OSError as err:
        raise HostError(
            f"MPS keeper: {path} cannot be written: {err.strerror}; check that its file system has room and is not"
            " read-only"
        ) from err


def read(path: Path, kind: type[_T]) -> _T | None:
    """The value that is there; None if there is no file.

    Raises:
        UnreadableError: it holds something else; it was set aside under another name, for people.
        HostError: it cannot be read at all.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as err:
        raise HostError(f"MPS keeper: {path} cannot be read: {err.strerror}") from err
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as err:
        aside = path.with_name(f"{path.name}.unreadable")
        with suppress(OSError):
            path.replace(aside)
        _log.error("file is unreadable and was set aside", extra={"file": aside, "why": str(err)})
        raise UnreadableError(
            f"MPS keeper: {path} is not what the keeper wrote: {err}; it lies in {aside} now",
            aside=aside,
        ) from err
