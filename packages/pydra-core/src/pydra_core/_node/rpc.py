"""Register gRPC services from messages alone, without generated service stubs.

The stub files protoc writes refuse to import under an older grpcio than their generator; a table of methods
does the same job, typed, in a dozen lines.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message

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
    handler: Callable[[Any, Context], AsyncIterator[Message]]


def service(name: str, methods: Mapping[str, Unary | Stream]) -> grpc.GenericRpcHandler:
    """Build the handler of one service, `name` being its full proto name."""
    return grpc.method_handlers_generic_handler(
        name, {m: _handler(spec) for m, spec in methods.items()}
    )


def _handler(method: Unary | Stream) -> grpc.RpcMethodHandler[Any, Any]:
    make = (
        grpc.unary_unary_rpc_method_handler
        if isinstance(method, Unary)
        else grpc.unary_stream_rpc_method_handler
    )
    return make(
        method.handler,
        request_deserializer=method.request.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
