"""Watches as chunked HTTP bodies: events as they come, bookmarks, an end in time."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec
from aiohttp import web

from pydra_testbed.api._core import Core, Target
from pydra_testbed.api._problems import bad_request, status_body
from pydra_testbed.api._selectors import Matcher
from pydra_testbed.api._tables.table import Tabulator
from pydra_testbed.api._watch import Seen, Watcher, bookmark, line
from pydra_testbed.api.faults import Faults
from pydra_testbed.objects import ApiStatusError

_LOG = logging.getLogger(__name__)
BOOKMARK_SECONDS = 60.0
DEFAULT_WATCH_SECONDS = 1800.0
_TRUE = frozenset({"1", "true", "True"})


def wants(query: Mapping[str, str], name: str) -> bool:
    """Whether a boolean query parameter is on."""
    return query.get(name, "") in _TRUE


@dataclass(slots=True)
class WatchStream:
    """One watch over HTTP: initial events, changes as they come, bookmarks, an end in time."""

    core: Core
    faults: Faults
    watcher: Watcher
    query: Mapping[str, str]
    closing: list[bool]
    tabulator: Tabulator | None = None
    _headed: bool = True

    async def run(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
            await self._send_all(response)
        except ApiStatusError as error:
            event = {"type": "ERROR", "object": status_body(error)}
            await response.write(msgspec.json.encode(event) + b"\n")
        except ConnectionResetError:
            _LOG.debug("a watcher left", extra={"resource": self.watcher.kind.plural})
        return response

    async def _send_all(self, response: web.StreamResponse) -> None:
        epoch, started = self.faults.watch_epoch, self.core.clock.monotonic()
        seconds = _seconds(self.query)
        await self._send_initial(response)
        marked = started
        while not self.closing and epoch == self.faults.watch_epoch:
            lines = [self._line(seen) for seen in self.watcher.next_events()]
            now = self.core.clock.monotonic()
            if lines:
                await response.write(b"".join(lines))
                marked = now
            elif now - started >= seconds:
                return
            elif now - marked >= BOOKMARK_SECONDS and wants(self.query, "allowWatchBookmarks"):
                await response.write(bookmark(self.watcher.kind, self.watcher.version))
                marked = now
            else:
                await self.watcher.changed()

    def _line(self, seen: Seen) -> bytes:
        if self.tabulator is None:
            return line(self.watcher.kind, seen)
        tabulator = replace(self.tabulator, now=self.core.clock.now())
        headed, self._headed = self._headed, False
        table = tabulator.table([seen.stored], str(seen.stored.version), headed=headed)
        return b"".join((f'{{"type":"{seen.type}","object":'.encode(), table, b"}\n"))

    async def _send_initial(self, response: web.StreamResponse) -> None:
        kind = self.watcher.kind
        lines = [self._line(seen) for seen in self.watcher.initial()]
        if wants(self.query, "sendInitialEvents"):
            lines.append(bookmark(kind, self.watcher.version, initial_end=True))
        if lines:
            await response.write(b"".join(lines))


def _seconds(query: Mapping[str, str]) -> float:
    text = query.get("timeoutSeconds", "")
    if text and not text.isdecimal():
        raise bad_request(f'timeoutSeconds must be a whole number, not "{text}"')
    return float(text) if text and text != "0" else DEFAULT_WATCH_SECONDS


def watch_stream(
    core: Core,
    faults: Faults,
    target: Target,
    matcher: Matcher,
    query: Mapping[str, str],
    closing: list[bool],
) -> WatchStream:
    """A watch from the version the query names; initial events may be asked for with any version."""
    _seconds(query)
    since = query.get("resourceVersion", "")
    if wants(query, "sendInitialEvents"):
        since = ""
    return WatchStream(core, faults, Watcher(core, target, matcher, since), query, closing)
