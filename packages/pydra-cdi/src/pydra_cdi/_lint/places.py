"""What can be said about a spec file from where it lies: its mode, its name, other files with the same device."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydra_cdi._lint.finding import Finding, Remark, of_error, of_file, of_remark
from pydra_cdi.snapshot import Snapshot

_READ = (".json", ".yaml")
_MEANT = frozenset({".json", ".yaml", ".yml"})


def mode_findings(path: Path) -> Iterator[Finding]:
    """Find a file that others cannot read, or that others can write: its hooks run as root."""
    try:
        mode = path.stat().st_mode
    except OSError:  # gone or out of reach, which reading it tells
        return
    if not stat.S_ISREG(mode):  # a fifo or a link to a device, which reading it tells too
        return
    if not mode & stat.S_IROTH:
        message = (
            f"its mode is {stat.S_IMODE(mode):04o}: rootless runtimes and tools cannot read it"
        )
        yield of_file("warning", "file-unreadable", path, message, "chmod 0644 it")
    if mode & stat.S_IWOTH:
        message = f"its mode is {stat.S_IMODE(mode):04o}: anybody can have programs run as root"
        yield of_file("error", "file-writable", path, message, "chmod 0644 it")


def spec_files(found: Snapshot) -> list[Path]:
    """Give every file a snapshot rests on, good or bad, in the order of reading."""
    order = {directory: place for place, directory in reversed([*enumerate(found.directories)])}
    paths = {one.path for one in found.specs} | found.errors.keys()
    return sorted(paths, key=lambda path: (order[path.parent], path))


def directory_findings(found: Snapshot) -> Iterator[Finding]:
    """Find directories and files that are not read."""
    for directory, error in found.unread.items():
        yield from of_error(directory, error)
    for directory in dict.fromkeys(found.directories):
        yield from _ignored(directory)


def _ignored(directory: Path) -> Iterator[Finding]:
    try:
        names = sorted(directory.iterdir())
    except OSError:  # missing, which is fine, or told above
        return
    for path in names:
        if path.suffix.lower() in _MEANT and path.suffix not in _READ:
            message = f"runtimes read {' and '.join(_READ)} only, spelt like that"
            remedy = f"rename it to {path.stem}.yaml or {path.stem}.json"
            yield of_file("warning", "file-ignored", path, message, remedy)


def rival_findings(found: Snapshot) -> Iterator[Finding]:
    """Find devices that files take from each other, file by file."""
    for loaded in found.specs:
        for index, device in enumerate(loaded.spec.devices):
            device_id = f"{loaded.spec.kind}={device.name}"
            winner = found.find(device_id)
            at = f"devices[{index}].name"
            if winner is None:
                others = [path for path in found.conflicts[device_id] if path != loaded.path]
                yield _conflict(loaded.path, at, device_id, others or [loaded.path])
            elif winner.origin.path != loaded.path:
                message = f"{device_id} comes from {winner.origin.path}, not from here"
                remedy = "remove one of the two definitions: a later directory beats an earlier one"
                remark = Remark("warning", "device-shadowed", at, message, remedy)
                yield of_remark(loaded.path, remark)


def _conflict(path: Path, at: str, device_id: str, others: Sequence[Path]) -> Finding:
    message = f"nobody can have {device_id}: {' and '.join(map(str, others))} defines it too"
    remedy = "rename one of them or remove its file: a directory may define a device once"
    return of_remark(path, Remark("error", "device-conflict", at, message, remedy))
