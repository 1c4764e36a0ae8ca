"""Register gRPC services from messages alone, without generated service stubs.

The stub files protoc writes refuse to import under an older grpcio than their generator; a table of methods
does the same job, typed, in a dozen lines.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

_log = logging.getLogger(__name__)

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
"""What a handler is told of its call: deadline, metadata, cancellation."""


@dataclass(frozen=True, slots=True)
class Unary:
    """A method with one request and one response."""

    request: type[Message]
    handler: Callable[[Any, Context], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Stream:
    """A method with one request and a stream of responses."""

    request: type[Message]
    handler: Callable[[Any, Context], AsyncIterator[Message | bytes]]
    """Yields messages, or their bytes if it has them."""


def service(name: str, methods: Mapping[str, Unary | Stream]) -> grpc.GenericRpcHandler:
    """Build the handler of one service, `name` being its full proto name."""
    return grpc.method_handlers_generic_handler(
        name, {m: _handler(spec) for m, spec in methods.items()}
    )


def threaded_service(
    name: str, methods: Mapping[str, tuple[type[Message], Callable[[Any], Message]]]
) -> grpc.GenericRpcHandler:
    """Build the handler of one service of plain functions, for a server with threads (`grpc.server`)."""

    def handler(
        message: type[Message], answer: Callable[[Any], Message]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        def handle(request: bytes, context: grpc.ServicerContext) -> Message:
            try:
                decoded = message.FromString(request)
            except DecodeError as err:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, _undecodable(request, err))
            return answer(decoded)

        return grpc.unary_unary_rpc_method_handler(handle, response_serializer=_encode)

    return grpc.method_handlers_generic_handler(
        name, {m: handler(*spec) for m, spec in methods.items()}
    )


def _encode(message: Message | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


def _handler(method: Unary | Stream) -> grpc.RpcMethodHandler[Any, Any]:
    make = (
        grpc.unary_unary_rpc_method_handler
        if isinstance(method, Unary)
        else grpc.unary_stream_rpc_method_handler
    )
    return make(
        _unary(method) if isinstance(method, Unary) else _stream(method),
        response_serializer=_encode,
    )


def _unary(method: Unary) -> Callable[[bytes, Context], Awaitable[Message]]:
    async def handle(request: bytes, context: Context) -> Message:
        return await method.handler(await _decoded(method.request, request, context), context)

    return handle


def _stream(method: Stream) -> Callable[[bytes, Context], AsyncIterator[Any]]:
    async def handle(request: bytes, context: Context) -> AsyncIterator[Any]:
        async for message in method.handler(
            await _decoded(method.request, request, context), context
        ):
            yield message

    return handle


async def _decoded(message: type[Message], request: bytes, context: Context) -> Message:
    """Decode here and not inside gRPC, which answers UNKNOWN and logs a trace for what is the caller's fault."""
    try:
        return message.FromString(request)
    except DecodeError as err:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _undecodable(request, err))


def _undecodable(request: bytes, err: DecodeError) -> str:
    _log.warning("request cannot be decoded", extra={"bytes": len(request), "why": str(err)})
    return str(err)
