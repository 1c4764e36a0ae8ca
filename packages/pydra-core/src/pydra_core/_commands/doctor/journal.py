"""The journal: readable, of a version we know, undamaged, with room to grow. Read only: no lock, no repair."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.results import Result, finding, ok
from pydra_core._commands.doctor.subject import Subject
from pydra_core._state import frames, records
from pydra_core._state.ledger import Ledger

_LEAST_FREE = 16 << 20
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """What a journal's bytes say: the state after the records that can be read, and the damage between them."""

    ledger: Ledger
    damages: tuple[frames.Damage, ...]


def path_of(subject: Subject) -> Path:
    """Where the driver keeps it."""
    return subject.settings.kubelet_root / "plugins" / subject.driver.name / "journal"


def look(subject: Subject) -> Iterator[Result]:
    """The file, copies of it that were set aside, and the space on its file system."""
    path = path_of(subject)
    yield _file(path)
    for aside in sorted(path.parent.glob("journal.damaged-*")):
        yield finding(
            Finding.JOURNAL_SET_ASIDE,
            "journal: set aside",
            f"{aside}: an earlier start found the journal damaged and kept this copy",
            f"look for disk errors (`dmesg`), report the file, then: rm {aside}",
        )
    yield from _space(path)


def read(data: bytes) -> Reading:
    """Replay a journal of our format. Never raises: what cannot be read is damage."""
    ledger, damages = Ledger(), []
    for item in frames.read(data, frames.HEADER_SIZE):
        if isinstance(item, frames.Damage):
            damages.append(item)
            continue
        try:
            ledger.apply(records.decode(item.payload))
        except msgspec.DecodeError as err:
            damages.append(frames.Damage(item.end - len(item.payload), item.end, str(err)))
    return Reading(ledger, tuple(damages))


def _file(path: Path) -> Result:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ok("journal", f"{path}: none yet; the first start makes it")
    except OSError as err:
        seen = f"{path}: cannot be read: {err.strerror}"
        return finding(
            Finding.JOURNAL_UNREADABLE,
            "journal",
            seen,
            "run the driver, and this, as root; mount the directory into the pod",
        )
    if len(data) < frames.HEADER_SIZE and frames.header(records.FORMAT).startswith(data):
        return ok("journal", f"{path}: empty")
    version = frames.version_of(data)
    if version is None:
        seen = f"{path}: no journal of this framework ({len(data)} bytes without its header)"
        return finding(Finding.JOURNAL_DAMAGED, "journal", seen, _restart(path))
    if version > records.FORMAT:
        return finding(
            Finding.JOURNAL_NEWER,
            "journal",
            f"{path}: format {version}, written by a newer driver; this one reads {records.FORMAT}",
            "install that version of the driver again, or drain the node before going back:"
            " kubectl drain NODE --ignore-daemonsets",
        )
    return _content(path, data)


def _content(path: Path, data: bytes) -> Result:
    reading = read(data)
    held = f"{len(reading.ledger.all_prepared())} prepared claims, {len(data)} bytes"
    if not reading.damages:
        return ok("journal", f"{path}: format {records.FORMAT}, {held}")
    first = reading.damages[0]
    if first.torn:
        return ok(
            "journal", f"{path}: {held}; ends in a half-written record, which the next start drops"
        )
    seen = f"{path}: {len(reading.damages)} damaged records, the first at byte {first.start}: {first.why}; {held}"
    return finding(Finding.JOURNAL_DAMAGED, "journal", seen, _restart(path))


def _restart(path: Path) -> str:
    return (
        "restart the driver (delete its pod): it keeps every record that can be read and sets the damaged file"
        f" aside as {path}.damaged-*; look for disk errors (`dmesg`)"
    )


def _space(path: Path) -> Iterator[Result]:
    """On the file system of the nearest directory that exists; needs one below the kubelet root."""
    directory = next((p for p in path.parents if p.is_dir()), None)
    if directory is None or not path.parents[2].is_dir():
        return
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    seen = f"{free // _MIB} MiB free for {directory}"
    if status.f_flag & os.ST_RDONLY:
        fix = f"mount {directory} read-write (no `readOnly: true` on this volumeMount)"
        yield finding(
            Finding.JOURNAL_SPACE,
            "journal: space",
            f"{directory}: the file system is read-only",
            fix,
        )
    elif free < _LEAST_FREE:
        yield finding(
            Finding.JOURNAL_SPACE,
            "journal: space",
            seen,
            f"free at least {_LEAST_FREE // _MIB} MiB (`df -h {directory}`)",
        )
    elif status.f_files and not status.f_favail:
        fix = f"remove files: the file system has no inode left (`df -i {directory}`)"
        yield finding(Finding.JOURNAL_SPACE, "journal: space", f"{seen}, but no inode", fix)
    else:
        yield ok("journal: space", seen)
