"""What a power cut leaves of a folder: a model that replays the interposer's log.

Bytes count as on disk after the next successful fsync or fdatasync of their file, names (of files made,
renamed, linked, removed) after the next fsync of their directory. A sync that fails drops what it should have
written: later syncs do not bring it back, which is what Linux does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from crash_kit.interposer import Event


class _File:
    def __init__(self, content: bytes = b"") -> None:
        self.seen = bytearray(content)
        self.safe = bytearray(content)
        self.dirty: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: bytes) -> None:
        _put(self.seen, offset, data)
        self.dirty.append((offset, data))

    def resize(self, size: int) -> None:
        del self.seen[size:]
        self.dirty.append((size, b""))

    def sync(self, *, failed: bool) -> None:
        if not failed:
            _apply(self.safe, self.dirty, len(self.seen))
        self.dirty = []

    def after_cut(self, kept: float) -> bytes:
        """Return the safe content, plus the first part of what was not synced."""
        content = bytearray(self.safe)
        if kept:
            parts = [(offset, data[: int(len(data) * kept)]) for offset, data in self.dirty]
            _apply(content, parts, len(self.seen))
        return bytes(content)


def _apply(content: bytearray, writes: Iterable[tuple[int, bytes]], limit: int) -> None:
    for offset, data in writes:
        if data:
            _put(content, offset, data)
    del content[limit:]


def _put(content: bytearray, offset: int, data: bytes) -> None:
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


class Disk:
    """A folder that starts out safely on disk, and what happens to it call by call."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._inodes: dict[int, _File] = {}
        self._names: dict[str, _File | None] = {}  # None: a directory
        for path in (p for p in root.rglob("*") if p.is_dir() or p.is_file()):
            file = None if path.is_dir() else _File(path.read_bytes())
            self._names[str(path)] = file
            if file is not None:
                self._inodes[path.stat().st_ino] = file
        self._safe_names = dict(self._names)

    def replay(self, event: Event) -> None:
        """Take one call over."""
        if not event.path.startswith(f"{self.root}/") and event.path != str(self.root):
            return
        if event.call in {"fsync", "fdatasync"}:
            self._sync(event)
        elif not event.errno:
            getattr(self, f"_{event.call}")(event)

    def after_cut(self, target: Path, *, kept: float = 0.0) -> None:
        """Write what is left into the empty folder `target`.

        `kept`: the share of unsynced bytes that reached the disk all the same; above 0, unsynced names did too.
        """
        names = self._names if kept else self._safe_names
        for path, file in sorted(names.items()):
            copy = target / Path(path).relative_to(self.root)
            if not copy.parent.is_dir():
                continue
            if file is None:
                copy.mkdir()
            else:
                copy.write_bytes(file.after_cut(kept))

    def _open(self, event: Event) -> None:
        file = self._names.get(event.path)
        if file is None:
            file = self._names[event.path] = _File()
        self._inodes[event.inode] = file
        if event.flags & os.O_TRUNC:
            file.resize(0)

    def _write(self, event: Event) -> None:
        self._inodes[event.inode].write(event.offset, event.data)

    _pwrite = _write

    def _ftruncate(self, event: Event) -> None:
        self._inodes[event.inode].resize(event.offset)

    def _sync(self, event: Event) -> None:
        if event.path == str(self.root) or self._names.get(event.path, 0) is None:
            if not event.errno:
                self._sync_names(event.path)
        else:
            self._inodes[event.inode].sync(failed=bool(event.errno))

    def _sync_names(self, folder: str) -> None:
        inside = lambda path: path.rpartition("/")[0] == folder  # noqa: E731 (three words, used twice)
        safe = {p: f for p, f in self._safe_names.items() if not inside(p)}
        self._safe_names = safe | {p: f for p, f in self._names.items() if inside(p)}

    def _rename(self, event: Event) -> None:
        self._names[event.path2] = self._names.pop(event.path)

    def _link(self, event: Event) -> None:
        self._names[event.path2] = self._names[event.path]

    def _unlink(self, event: Event) -> None:
        self._names.pop(event.path, None)

    def _mkdir(self, event: Event) -> None:
        self._names[event.path] = None
