"""A gRPC server of the kubelet's own on a Unix socket, with the kubelet's manners about the socket file.

Used for the registration of device plugins and for the pod-resources API. A kubelet that stops leaves its socket file
behind, and the next one removes it and binds anew, often under the very same inode number; programs that watch the
file must cope with both. gRPC would remove the file when it stops, so it is bound under another name first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import grpc.aio

_log = logging.getLogger(__name__)
_LONGEST_PATH = 107

Handler: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
"""Answers one request; gets the gRPC context too, for `abort`."""


async def serve(
    service: str, methods: Mapping[str, tuple[Handler, Callable[[bytes], Any]]], socket: Path
) -> grpc.aio.Server | None:
    """Serve unary `methods` (handler, parser of requests) on `socket`; the caller stops the server.

    None, with a warning, when the path is too long for a socket: nobody could connect to it.
    """
    behind = socket.parent.parent / f".{socket.parent.name[0]}.sock"
    if max(len(bytes(behind)), len(bytes(socket))) > _LONGEST_PATH:
        _log.warning("path too long for a socket, not served", extra={"socket": str(socket)})
        return None
    server = grpc.aio.server()
    handlers: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(
            handler,
            request_deserializer=parse,
            response_serializer=lambda message: message.SerializeToString(),
        )
        for name, (handler, parse) in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(f"unix:{behind}")
    async with AsyncExitStack() as undo:
        undo.push_async_callback(server.stop, None)
        await _whole(server.start())
        _move(behind, socket)
        undo.pop_all()
    return server


async def _whole(start: Coroutine[Any, Any, None]) -> None:
    """Finish a start that is cancelled: gRPC can stop no server that is half started, and may swallow the cancellation."""
    starting = asyncio.ensure_future(start)
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await starting
        raise


def _move(bound: Path, socket: Path) -> None:
    """Give a bound socket its name: as a new file, which is what watchers wait for, not as a renamed one."""
    socket.unlink(missing_ok=True)
    socket.hardlink_to(bound)
    bound.unlink()
