"""What stands before the API server where a case wants to see a driver's writes, or an older Kubernetes.

`opening` puts it between driver and server. It passes everything on; of slices it notes what was written and what
came of it. What an older Kubernetes does differently is `older`'s matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from pydra_testbed.conformance import older
from pydra_testbed.conformance.older import Release
from pydra_testbed.objects import KubeObject

_SLICES = "/resourceslices"
_INVALID = 422
_REFUSED = (400, _INVALID)
_JSON = "application/json"
_LINE = 1 << 22
_HOP = frozenset(
    {"host", "connection", "transfer-encoding", "content-length", "keep-alive", "date"}
)


@dataclass(frozen=True, slots=True)
class Written:
    """One write of a slice: its body, and why it was refused; empty if it was not."""

    body: KubeObject
    refusal: str = ""

    @property
    def devices(self) -> list[KubeObject]:
        """The devices that the slice was to hold."""
        found = (self.body.get("spec") or {}).get("devices")
        return found if isinstance(found, list) else []


@dataclass(slots=True)
class Front:
    """Every request of the driver goes through it; `release` may change at any time, as in an upgrade."""

    release: Release = Release.NEW
    written: list[Written] = field(default_factory=list)
    _host: str = ""
    _port: int = 0
    _client: aiohttp.ClientSession | None = None
    _calls: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def refusals(self) -> list[str]:
        """Why slices were refused, in order."""
        return [one.refusal for one in self.written if one.refusal]

    @asynccontextmanager
    async def listen(self, url: str) -> AsyncIterator[str]:
        """Serve before the server at `url` until the block is left; yields this one's own URL."""
        self._host, _, port = url.rpartition("/")[2].partition(":")
        self._port = int(port)
        server = web.Server(self._handle, access_log=None)
        runner = web.ServerRunner(server, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        endless = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=endless, auto_decompress=False) as self._client:
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                host, own = runner.addresses[0][:2]
                yield f"http://{host}:{own}"
            finally:
                await self._end_calls()
                await runner.cleanup()

    async def _end_calls(self) -> None:
        """End what is under way, watches above all: aiohttp would leave it to the garbage collector."""
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if (call := asyncio.current_task()) is not None:
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        return await self._answer(request)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        document = older.document(self.release, request.path)
        if document is not None:
            return _json(200, document)
        if older.is_hidden(self.release, request.path):
            return web.Response(status=404, text="404 page not found\n")
        try:
            if _SLICES in request.path and request.method in {"POST", "PUT", "PATCH"}:
                return await self._written(request)
            return await self._passed_on(request)
        except (aiohttp.ClientError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)

    async def _written(self, request: web.BaseRequest) -> web.StreamResponse:
        """A write of a slice, as this release takes it."""
        body = await request.read()
        sent = _decoded(body)
        if why := older.fault_of(self.release, sent):
            self.written.append(Written(sent, why))
            return _json(_INVALID, older.invalid(why))
        if self.release is Release.V1_34:
            body = msgspec.json.encode(older.to_store(sent))
        async with self._asked(request, body) as answer:
            told = await answer.read()
        refusal = str(_decoded(told).get("message", "")) if answer.status in _REFUSED else ""
        self.written.append(Written(sent, refusal))
        return web.Response(
            status=answer.status, headers=_kept(answer.headers), body=self._seen(told)
        )

    async def _passed_on(self, request: web.BaseRequest) -> web.StreamResponse:
        async with self._asked(request, await request.read()) as answer:
            if not request.query.get("watch"):
                told = await answer.read()
                told = self._seen(told) if _SLICES in request.path else told
                return web.Response(status=answer.status, headers=_kept(answer.headers), body=told)
            stream = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
            await stream.prepare(request)
            async for line in answer.content:
                await stream.write(self._seen(line) if _SLICES in request.path else line)
            return stream

    @asynccontextmanager
    async def _asked(
        self, request: web.BaseRequest, body: bytes
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The same request, of the server behind."""
        assert self._client is not None  # noqa: S101 (requests come while it listens)
        headers = _kept(request.headers)
        if self.release is Release.V1_34:
            headers["Accept"] = _JSON
        url = request.url.with_host(self._host).with_port(self._port)
        async with self._client.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False,
            read_bufsize=_LINE,
        ) as answer:  # fmt: skip
            yield answer

    def _seen(self, told: bytes) -> bytes:
        """What the server says of slices, as this release would."""
        return older.read_back(told) if self.release is Release.V1_34 else told


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.lower() not in _HOP}


def _json(status: int, document: KubeObject) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(document), content_type=_JSON)


def _decoded(body: bytes) -> KubeObject:
    """A JSON object; nothing of what is none, such as protobuf."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
