"""Watching: a cursor over the store's window of changes, one per watcher, nothing queued.

A slow watcher costs no memory: it reads on from its cursor, and when the window has moved past it, it is
told so (410 Expired) and lists again. Objects entering or leaving a selection appear as ADDED or DELETED.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from pydra_testbed.api._core import Core, Target
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._problems import bad_request, expired, too_new
from pydra_testbed.api._selectors import Matcher
from pydra_testbed.api._store import Change, Stored
from pydra_testbed.api._views import body_of

INITIAL_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Seen:
    """One event as a watcher sees it."""

    type: str
    stored: Stored


class Watcher:
    """One watch; `version` is the resourceVersion up to which it has seen everything."""

    def __init__(self, core: Core, target: Target, matcher: Matcher, since: str) -> None:
        self._core = core
        self._bucket = core.bucket(target.kind)
        self._matcher = matcher
        self.kind = target.kind
        self.synthetic = since in {"", "0"}
        self.version = core.store.version if self.synthetic else _parse(since)
        if self.version > core.store.version:
            raise too_new(self.version, core.store.version)
        self._check_window()

    def initial(self) -> list[Seen]:
        """The objects that are there when a watch starts without a version."""
        if not self.synthetic:
            return []
        return [
            Seen("ADDED", stored)
            for stored in self._bucket.ordered()
            if self._matcher.matches(stored)
        ]

    def next_events(self) -> list[Seen]:
        """What happened since the last call.

        Raises:
            ApiStatusError: 410, the window no longer reaches back to where this watcher is.
        """
        self._check_window()
        changes = self._bucket.since(self.version)
        self.version = max(self.version, self._core.store.version)
        return [seen for change in changes for seen in self._visible(change)]

    async def changed(self) -> None:
        """Return when there may be something new."""
        await self._bucket.changed()

    def _check_window(self) -> None:
        if self.version < self._bucket.forgotten:
            raise expired(f"too old resource version: {self.version} ({self._bucket.forgotten})")

    def _visible(self, change: Change) -> Iterator[Seen]:
        was = change.before is not None and self._matcher.matches(change.before)
        if change.after is None:
            if was and change.before is not None:
                yield Seen("DELETED", change.before)
            return
        if self._matcher.matches(change.after):
            yield Seen("MODIFIED" if was else "ADDED", change.after)
        elif was and change.before is not None:
            yield Seen("DELETED", _at_version(change.before, change.version))


def _at_version(stored: Stored, version: int) -> Stored:
    """The state before a change, with the change's resourceVersion, as for a removal."""
    obj = stored.decode()
    obj["metadata"]["resourceVersion"] = str(version)
    body = msgspec.json.encode(obj)
    return Stored(stored.key, stored.uid, version, body, stored.labels, stored.fields)


def _parse(since: str) -> int:
    if not since.isdecimal():
        raise bad_request(f'Invalid value: "{since}": resourceVersion must be a number')
    return int(since)


def line(kind: Kind, seen: Seen) -> bytes:
    """One event as a JSON line."""
    head = f'{{"type":"{seen.type}","object":'.encode()
    return b"".join((head, body_of(kind, seen.stored), b"}\n"))


def bookmark(kind: Kind, version: int, *, initial_end: bool = False) -> bytes:
    """A line that only moves the watcher's resourceVersion on."""
    notes = f',"annotations":{{"{INITIAL_END}":"true"}}' if initial_end else ""
    return (
        f'{{"type":"BOOKMARK","object":{{"kind":"{kind.kind}","apiVersion":"{kind.api_version}",'
        f'"metadata":{{"resourceVersion":"{version}"{notes}}}}}}}\n'
    ).encode()
