"""The `log` subresource of pods: what a container wrote, all of it or its end, and with `follow` what it writes.

Containers' output carries no times here, so `timestamps` and what selects by time are refused; so is
`previous`, since the log of a container's last start is all that is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from pydra_testbed.api._core import Core, Target
from pydra_testbed.api._problems import bad_request
from pydra_testbed.api._streams import wants
from pydra_testbed.api.logs import LogSource, container_of

_REFUSED = ("previous", "timestamps")
_BY_TIME = ("sinceSeconds", "sinceTime")


async def send_log(
    core: Core, logs: LogSource, target: Target, request: web.BaseRequest
) -> web.StreamResponse:
    """A container's log as plain text.

    Raises:
        ApiStatusError: 400 no such container, nothing to read yet or a wish not granted, 404 no such pod.
    """
    pod, query = core.find(target).decode(), request.query
    _check(query)
    names = [
        container["name"]
        for field in ("containers", "initContainers")
        for container in pod["spec"].get(field) or ()
    ]
    try:
        name = container_of(names, query.get("container", ""))
        chunks = _wanted(logs, target, name, query)
        first = await anext(chunks, b"")
    except LookupError as error:
        raise bad_request(f"{error.args[0]} (pod {target.name})") from None
    return await _send(request, first, chunks)


def _check(query: Mapping[str, str]) -> None:
    for name in _REFUSED:
        if wants(query, name):
            raise bad_request(f"{name}: this server keeps no such thing of a container's output")
    for name in _BY_TIME:
        if query.get(name):
            raise bad_request(f"{name}: this server does not know when a container wrote what")


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if text and not text.isdecimal():
        raise bad_request(f'{name} must be a whole number from 0, not "{text}"')
    return int(text) if text else None


async def _wanted(
    logs: LogSource, target: Target, container: str, query: Mapping[str, str]
) -> AsyncIterator[bytes]:
    """The chunks that were asked for: the last lines of what is there, what follows, up to a limit."""
    left = _number(query, "limitBytes")
    async for chunk in _selected(logs, target, container, query):
        piece = chunk if left is None else chunk[:left]
        yield piece
        if left is not None:
            left -= len(piece)
            if left <= 0:
                return


async def _selected(
    logs: LogSource, target: Target, container: str, query: Mapping[str, str]
) -> AsyncIterator[bytes]:
    tail, follow = _number(query, "tailLines"), wants(query, "follow")
    where = (target.namespace, target.name, container)
    if tail is None:
        async for chunk in logs.read(*where, follow=follow):
            yield chunk
        return
    there = b"".join([chunk async for chunk in logs.read(*where, follow=False)])
    yield b"".join(there.splitlines(keepends=True)[-tail:] if tail else ())
    if follow:
        known = len(there)
        async for chunk in logs.read(*where, follow=True):
            yield chunk[known:]
            known = max(0, known - len(chunk))


async def _send(
    request: web.BaseRequest, first: bytes, rest: AsyncIterator[bytes]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    if first:
        await response.write(first)
    async for chunk in rest:
        if chunk:
            await response.write(chunk)
    return response
