"""The two answers that go on: watches and followed logs, as chunked HTTP bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec
from aiohttp import web

from pydra_testbed.api._core import Core, Target
from pydra_testbed.api._problems import bad_request, status_body
from pydra_testbed.api._selectors import Matcher
from pydra_testbed.api._watch import Watcher, bookmark, line
from pydra_testbed.api.faults import Faults
from pydra_testbed.api.logs import LogSource, container_of
from pydra_testbed.objects import ApiStatusError

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

    async def run(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            await self._send_all(response)
        except ApiStatusError as error:
            event = {"type": "ERROR", "object": status_body(error)}
            await response.write(msgspec.json.encode(event) + b"\n")
        return response

    async def _send_all(self, response: web.StreamResponse) -> None:
        epoch, started = self.faults.watch_epoch, self.core.clock.monotonic()
        seconds = _seconds(self.query)
        await self._send_initial(response)
        marked = started
        while not self.closing and epoch == self.faults.watch_epoch:
            lines = [line(self.watcher.kind, seen) for seen in self.watcher.next_events()]
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

    async def _send_initial(self, response: web.StreamResponse) -> None:
        kind = self.watcher.kind
        lines = [line(kind, seen) for seen in self.watcher.initial()]
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


async def send_log(
    core: Core, logs: LogSource, target: Target, request: web.Request
) -> web.StreamResponse:
    """A container's log as plain text.

    Raises:
        ApiStatusError: 400 no such container or nothing to read yet, 404 no such pod.
    """
    pod = core.find(target).decode()
    names = [container["name"] for container in pod["spec"]["containers"]]
    names += [container["name"] for container in pod["spec"].get("initContainers") or ()]
    try:
        name = container_of(names, request.query.get("container", ""))
        chunks = logs.read(
            target.namespace, target.name, name, follow=wants(request.query, "follow")
        )
        first = await anext(chunks, b"")
    except LookupError as error:
        raise bad_request(f"{error.args[0]} (pod {target.name})") from None
    return await _send_text(request, first, chunks)


async def _send_text(
    request: web.Request, first: bytes, rest: AsyncIterator[bytes]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    if first:
        await response.write(first)
    async for chunk in rest:
        await response.write(chunk)
    return response
