"""HTTP on top of the request core: aiohttp in, Kubernetes answers out.

One handler for every path: taking paths apart is cheaper than a router over patterns, and errors become
`Status` objects in one place.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from pydra_testbed.api import _problems
from pydra_testbed.api._aggregated import MEDIA as AGGREGATED
from pydra_testbed.api._aggregated import aggregated, wants_aggregated
from pydra_testbed.api._auth import Authority
from pydra_testbed.api._auth_reviews import review
from pydra_testbed.api._auth_tokens import User
from pydra_testbed.api._core import Core, Target
from pydra_testbed.api._debug import PATH as FAULTS
from pydra_testbed.api._debug import faults_document
from pydra_testbed.api._discovery import HEALTH_PATHS, document
from pydra_testbed.api._endpoint import (
    BODY_LIMIT,
    Answer,
    Request,
    respond,
    selection,
    tabulator,
    verb_of,
)
from pydra_testbed.api._logs import send_log
from pydra_testbed.api._openapi.documents import openapi
from pydra_testbed.api._patches import APPLY
from pydra_testbed.api._paths import place_of, target_of
from pydra_testbed.api._protobuf.envelope import MEDIA as PROTOBUF
from pydra_testbed.api._protobuf.envelope import as_json
from pydra_testbed.api._selectors import matcher
from pydra_testbed.api._streams import wants, watch_stream
from pydra_testbed.api._tables.table import wants_table
from pydra_testbed.api._versions import deprecation
from pydra_testbed.api.faults import Effect, Faults
from pydra_testbed.api.logs import LogSource
from pydra_testbed.objects import ApiStatusError

_LOG = logging.getLogger(__name__)
_JSON = "application/json"


class HttpFront:
    """The one request handler of one listening."""

    def __init__(self, core: Core, faults: Faults, authority: Authority, logs: LogSource) -> None:
        self._core = core
        self._faults = faults
        self._authority = authority
        self._logs = logs
        self.closing: list[bool] = []

    def server(self) -> web.Server:
        """The aiohttp server around it; an application's router would cost a tenth of each read."""
        return web.Server(self.handle, access_log=None, request_factory=_request)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._faults.reachable:
            return _cut(request)
        try:
            return await self._answer(request)
        except ApiStatusError as error:
            return _failure(error)
        except RecursionError:
            return _failure(_problems.bad_request("the object provided is nested too deeply"))
        except web.HTTPRequestEntityTooLarge:
            return _failure(_problems.too_large(BODY_LIMIT))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path in HEALTH_PATHS:
            return web.Response(text="ok")
        user = self._authority.user(request.headers)
        place = place_of(path)
        is_object = place is not None and bool(place.rest)
        found = self._document(request) if request.method == "GET" and not is_object else None
        if found is not None:
            self._authority.check_path(user, "get", path)
            return found
        if path == FAULTS:
            return await self._plan_faults(request, user)
        if place is None:
            raise _problems.no_such_path()
        target = target_of(self._core.catalog, place)
        try:
            return await self._resource(request, target, user)
        except ApiStatusError as error:
            error.warnings = _warned(target, error.warnings)
            raise

    def _document(self, request: web.BaseRequest) -> web.Response | None:
        """What is the same for everybody: discovery and OpenAPI."""
        catalog, path = self._core.catalog, request.path
        if wants_aggregated(request.headers.get("Accept", "")):
            whole = aggregated(catalog, path)
            if whole is not None:
                response = _json_response(200, msgspec.json.encode(whole))
                response.headers["Content-Type"] = AGGREGATED
                return response
        found = document(catalog, path) or openapi(catalog, path)
        return _json_response(200, msgspec.json.encode(found)) if found is not None else None

    async def _resource(
        self, request: web.BaseRequest, target: Target, user: User
    ) -> web.StreamResponse:
        """Permission first, then what was planned to go wrong, then the request itself."""
        verb = verb_of(request.method, target, watching=wants(request.query, "watch"))
        self._authority.check(user, verb, target)
        if verb == "patch" and request.content_type == APPLY and self._core.lacks(target):
            self._authority.check(user, "create", target)
        effect = self._faults.meet(verb, target.kind.plural, target.subresource)
        if effect in {Effect.HANG, Effect.HOLD}:
            await self._faults.released()
        if effect in {Effect.HANG, Effect.CUT}:
            return _cut(request)
        answer = await self._carried_out(request, verb, target, user)
        return _cut(request) if effect is Effect.LOSE else answer

    async def _carried_out(
        self, request: web.BaseRequest, verb: str, target: Target, user: User
    ) -> web.StreamResponse:
        wanted = await self._wanted(request, verb, target, user)
        if target.kind.virtual or target.subresource == "token":
            return _json_response(201, review(self._core, self._authority, user, wanted))
        if verb == "watch":
            chosen = matcher(target.kind, selection(wanted))
            stream = watch_stream(
                self._core, self._faults, target, chosen, request.query, self.closing
            )
            if wants_table(wanted.accept):
                stream.tabulator = tabulator(self._core, wanted)
            return await stream.run(request)
        if target.subresource == "log":
            return await send_log(self._core, self._logs, target, request)
        return _success(respond(self._core, wanted), target)

    async def _wanted(
        self, request: web.BaseRequest, verb: str, target: Target, user: User
    ) -> Request:
        body = await request.read() if request.can_read_body else b""
        media = request.headers.get("Content-Type", "").partition(";")[0].strip()
        if media == PROTOBUF:
            body, media = as_json(body), _JSON
        agent, accept = request.headers.get("User-Agent", ""), request.headers.get("Accept", "")
        writer = self._authority.writer(user, verb)
        return Request(verb, target, request.query, media, body, agent, writer, accept)

    async def _plan_faults(self, request: web.BaseRequest, user: User) -> web.Response:
        verb = {"GET": "get", "POST": "create", "DELETE": "delete"}.get(request.method)
        if verb is None:
            raise _problems.method_not_allowed()
        self._authority.check_path(user, verb, request.path)
        found = faults_document(
            self._faults, self._core.forget_changes, request.method, await request.read()
        )
        return _json_response(200, msgspec.json.encode(found))


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT
    )


def _json_response(code: int, body: bytes) -> web.Response:
    return web.Response(status=code, body=body, content_type=_JSON)


def _success(answer: Answer, target: Target) -> web.Response:
    response = _json_response(answer.code, answer.body)
    _warn(response, _warned(target, answer.warnings))
    return response


def _warned(target: Target, warnings: tuple[str, ...]) -> tuple[str, ...]:
    """A version on its way out says so first."""
    leaving = deprecation(target.kind)
    return (leaving, *warnings) if leaving else warnings


def _warn(response: web.Response, warnings: tuple[str, ...]) -> None:
    for text in warnings:
        response.headers.add("Warning", f'299 - "{_escaped(text)}"')


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _failure(error: ApiStatusError) -> web.Response:
    _LOG.debug("request refused", extra={"code": error.code, "reason": error.reason})
    response = _json_response(error.code, msgspec.json.encode(_problems.status_body(error)))
    _warn(response, error.warnings)
    seconds = error.details.get("retryAfterSeconds")
    if seconds is not None:
        response.headers["Retry-After"] = str(seconds)
    return response


def _cut(request: web.BaseRequest) -> web.Response:
    """Drop the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)
