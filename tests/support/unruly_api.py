"""A door in front of the testbed's API server that lets everything through, until a test plans otherwise.

What a test plans is used up in order, one act for each request of its kind; afterwards the server is well again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

Act = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class UnrulyApi:
    """Forwards to `upstream`, or does what was planned for `list`, `watch`, `get` (one object) or another method.

    With a `token`, requests that do not show it are answered 401. While `answering` is cleared, requests are
    accepted and nothing is said.
    """

    upstream: str
    session: aiohttp.ClientSession
    planned: dict[str, list[Act]] = field(default_factory=lambda: defaultdict(list))
    seen: list[str] = field(default_factory=list)
    token: str = ""
    tokens: list[str] = field(default_factory=list)
    used: asyncio.Event = field(default_factory=asyncio.Event)
    answering: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self):
        self.answering.set()

    def plan(self, kind: str, *acts: Act) -> None:
        self.planned[kind] += acts
        self.used.clear()

    async def all_used(self) -> None:
        """Return once everything planned has happened."""
        await self.used.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        kind = _kind(request)
        self.seen.append(kind)
        shown = request.headers.get("Authorization", "")
        self.tokens.append(shown)
        await self.answering.wait()
        if self.token and shown != f"Bearer {self.token}":
            return web.json_response({"message": "Unauthorized"}, status=401)
        if not self.planned[kind]:
            return await self.forward(request)
        act = self.planned[kind].pop(0)
        if not any(self.planned.values()):
            self.used.set()
        return await act(request)

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Let it through."""
        headers = {k: v for k, v in request.headers.items() if k not in ("Host", "Content-Length")}
        async with self.session.request(
            request.method,
            self.upstream + request.raw_path,
            headers=headers,
            data=await request.read(),
        ) as answer:
            kept = {
                k: answer.headers[k] for k in ("Content-Type", "Retry-After") if k in answer.headers
            }
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response


def _kind(request: web.Request) -> str:
    if "/nodes/" in request.path:
        return "get"
    if "/resourceslices" in request.path and request.method == "GET":
        return "watch" if "watch" in request.query else "list"
    return request.method.lower()


def says(content: bytes | str, status: int = 200, **headers: str) -> Act:
    """Answer with this body."""

    async def act(_):
        body = content.encode() if isinstance(content, str) else content
        fields = {k.replace("_", "-"): v for k, v in headers.items()}
        return web.Response(status=status, body=body, headers=fields)

    return act


def streams(*chunks: bytes, then_hangs=False) -> Act:
    """Answer a watch with these bytes, then end, or stay silent."""

    async def act(request):
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if then_hangs:
            await asyncio.Event().wait()
        return response

    return act


def cuts() -> Act:
    """Close the connection without an answer."""

    async def act(request):
        request.transport.abort()
        return web.Response()

    return act


@asynccontextmanager
async def unruly_api(upstream: str):
    """Yield the door and its URL."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        api = UnrulyApi(upstream, session)
        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", api.handle)
        runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield api, f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()
