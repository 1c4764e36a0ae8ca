"""Where objects live: encoded once per version, kept with a window of changes that watches replay.

Only the request core writes here. One counter gives every write its resourceVersion, as etcd's revision
does. Bodies are immutable bytes: readers decode their own copy, watchers share the encoded one.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from pydra_testbed.api._kinds import BOOLEAN_FIELDS
from pydra_testbed.objects import KubeObject

Key: TypeAlias = tuple[str, str]
"""Namespace (empty for cluster scope) and name."""

WINDOW_CHANGES = 10_000
WINDOW_BYTES = 32 * 1024 * 1024
_FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one object. `fields` are the values its kind can be selected by."""

    key: Key
    uid: str
    version: int
    body: bytes
    labels: Mapping[str, str]
    fields: Mapping[str, str]

    def decode(self) -> KubeObject:
        """A copy of the object for the caller to change."""
        value: KubeObject = msgspec.json.decode(self.body)
        return value


@dataclass(frozen=True, slots=True)
class Change:
    """One write: `before` is absent for a creation, `after` for a removal.

    A removal's `before` carries the removal's own resourceVersion, as watch events do.
    """

    version: int
    before: Stored | None
    after: Stored | None


@dataclass(slots=True)
class Bucket:
    """All objects of one kind, its recent changes, and who waits for the next one."""

    selectable: tuple[str, ...]
    objects: dict[Key, Stored] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    forgotten: int = 0
    weight: int = 0
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    observers: list[Callable[[Change], None]] = field(default_factory=list)

    def ordered(self) -> list[Stored]:
        """All objects by namespace and name, as etcd lists them."""
        return [self.objects[key] for key in sorted(self.objects)]

    def since(self, version: int) -> list[Change]:
        """Changes after `version`, oldest first."""
        return self.changes[bisect_right(self.versions, version) :]

    def record(self, change: Change) -> None:
        self.changes.append(change)
        self.versions.append(change.version)
        self.weight += _weight(change)
        if len(self.changes) > WINDOW_CHANGES or self.weight > WINDOW_BYTES:
            self.forget(max(1, len(self.changes) // 4))
        self.wake()
        for observer in self.observers:
            observer(change)

    def forget(self, count: int) -> None:
        """Drop the oldest changes: a watch that needs them is answered Expired."""
        dropped = self.changes[:count]
        if not dropped:
            return
        self.forgotten = dropped[-1].version
        self.weight -= sum(_weight(change) for change in dropped)
        del self.changes[:count], self.versions[:count]

    def wake(self) -> None:
        """Let everyone who waits look again."""
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def changed(self) -> None:
        """Return at the next change or wake-up."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        try:
            await future
        finally:
            if future in self.waiting:
                self.waiting.remove(future)


def _weight(change: Change) -> int:
    stored = change.after or change.before
    return len(stored.body) if stored else 0


class Store:
    """The buckets and their common counter."""

    def __init__(self) -> None:
        self.version = _FIRST_VERSION
        self._buckets: dict[str, Bucket] = {}

    def add_bucket(self, name: str, selectable: Iterable[str]) -> None:
        """Make room for a kind; a kind served twice shares its bucket and its selectable fields."""
        known = self._buckets.get(name)
        paths = dict.fromkeys((*(known.selectable if known else ()), *selectable))
        self._buckets[name] = Bucket(tuple(paths))

    def has_bucket(self, name: str) -> bool:
        """Whether there is room for a kind."""
        return name in self._buckets

    def bucket(self, name: str) -> Bucket:
        return self._buckets[name]

    def buckets(self) -> tuple[Bucket, ...]:
        return tuple(self._buckets.values())

    def wake(self) -> None:
        """Let every watcher of every kind look again."""
        for bucket in self._buckets.values():
            bucket.wake()

    def put(self, bucket: Bucket, obj: KubeObject) -> Stored:
        """Write a new version; sets the object's resourceVersion."""
        self.version += 1
        stored = pack(obj, self.version, bucket.selectable)
        before = bucket.objects.get(stored.key)
        bucket.objects[stored.key] = stored
        bucket.record(Change(self.version, before, stored))
        return stored

    def remove(self, bucket: Bucket, obj: KubeObject) -> Stored:
        """Take an object out; its last state carries the removal's resourceVersion."""
        self.version += 1
        last = pack(obj, self.version, bucket.selectable)
        del bucket.objects[last.key]
        bucket.record(Change(self.version, last, None))
        return last


def pack(obj: KubeObject, version: int, selectable: tuple[str, ...]) -> Stored:
    """Encode an object; version 0 means it is not stored (dry run) and has no resourceVersion."""
    meta = obj["metadata"]
    if version:
        meta["resourceVersion"] = str(version)
    return Stored(
        key=(meta.get("namespace", ""), meta["name"]),
        uid=meta["uid"],
        version=version,
        body=msgspec.json.encode(obj),
        labels=meta.get("labels") or {},
        fields={path: value_at(obj, path) for path in selectable},
    )


def value_at(obj: KubeObject, path: str) -> str:
    """A field's value as selectors compare it: text, empty when absent."""
    value: Any = obj
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if value is None:
        return "false" if path in BOOLEAN_FIELDS else ""
    return str(value).lower() if isinstance(value, bool) else str(value)
