"""gRPC as the kubelet speaks it: one unary call over a Unix socket, with its deadline and its words.

Used by `link`. Errors carry Go's code names and format, because those words end up in pod events that
users search for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import grpc
import grpc.aio

from pydra_testbed.clock import Clock
from pydra_testbed.runtime.waiting import within

_GO_NAMES = {
    grpc.StatusCode.CANCELLED: "Canceled",
    grpc.StatusCode.UNKNOWN: "Unknown",
    grpc.StatusCode.INVALID_ARGUMENT: "InvalidArgument",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DeadlineExceeded",
    grpc.StatusCode.NOT_FOUND: "NotFound",
    grpc.StatusCode.ALREADY_EXISTS: "AlreadyExists",
    grpc.StatusCode.PERMISSION_DENIED: "PermissionDenied",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "ResourceExhausted",
    grpc.StatusCode.FAILED_PRECONDITION: "FailedPrecondition",
    grpc.StatusCode.ABORTED: "Aborted",
    grpc.StatusCode.OUT_OF_RANGE: "OutOfRange",
    grpc.StatusCode.UNIMPLEMENTED: "Unimplemented",
    grpc.StatusCode.INTERNAL: "Internal",
    grpc.StatusCode.UNAVAILABLE: "Unavailable",
    grpc.StatusCode.DATA_LOSS: "DataLoss",
    grpc.StatusCode.UNAUTHENTICATED: "Unauthenticated",
}

# gRPC's C core rounds a deadline up to three digits; the kubelet's Go client stays just below.
_ON_WIRE = 0.999

LOCALHOST = "localhost"
_TOO_LATE = "context deadline exceeded"


class RpcError(Exception):
    """A call that did not succeed, in the words of Go's status package."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {description}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Method:
    """One unary method: full service name, method name, parser of its answer."""

    service: str
    name: str
    parse: Callable[[bytes], Any]

    @property
    def path(self) -> str:
        """The HTTP/2 path."""
        return f"/{self.service}/{self.name}"


def open_channel(socket: str, authority: str) -> grpc.aio.Channel:
    """A channel of its own to a Unix socket; idle connections are kept, as the kubelet's are."""
    return grpc.aio.insecure_channel(
        f"unix:{socket}",
        options=(
            ("grpc.default_authority", authority),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.client_idle_timeout_ms", 2**31 - 1),
        ),
    )


def registration_authority(socket: str) -> str:
    """The `:authority` the kubelet sends on a registration socket: its path, percent-encoded."""
    return quote(socket, safe="")


async def unary(
    channel: grpc.aio.Channel, method: Method, request: Any, deadline: float | None, clock: Clock
) -> Any:
    """Make one call; the driver sees `deadline`, in seconds, None for none. Raises `RpcError`."""
    invoke: Any = channel.unary_unary(
        method.path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=method.parse,
    )
    if deadline is not None and deadline <= 0:
        raise RpcError("DeadlineExceeded", _TOO_LATE)
    try:
        if deadline is None:
            return await _finish(invoke(request))
        pending = invoke(request, timeout=deadline * _ON_WIRE)
        return await within(clock, deadline, _finish(pending))
    except TimeoutError:
        raise RpcError("DeadlineExceeded", _TOO_LATE) from None
    except grpc.aio.UsageError:
        raise _closing() from None
    except grpc.aio.AioRpcError as error:
        raise _translated(error) from error


async def server_stream(
    channel: grpc.aio.Channel, method: Method, request: Any
) -> AsyncIterator[Any]:
    """The messages of a call without deadline, until the driver ends it. Raises `RpcError`."""
    invoke: Any = channel.unary_stream(
        method.path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=method.parse,
    )
    try:
        pending = invoke(request)
        try:
            async for message in pending:
                yield _parsed(message)
        except asyncio.CancelledError:
            _raise_if_cancelled()
            raise _closing() from None
        finally:
            pending.cancel()
    except grpc.aio.UsageError:
        raise _closing() from None
    except grpc.aio.AioRpcError as error:
        raise _translated(error) from error


async def cut_off(clock: Clock, after: float, call: Coroutine[Any, Any, Any]) -> Any:
    """The call's answer, unless it takes longer than `after`: then it is given up. Raises `RpcError`."""
    try:
        return await within(clock, after, call)
    except TimeoutError:
        raise RpcError("Canceled", "context canceled") from None


async def _finish(pending: Any) -> Any:
    """The answer; a call that ends because its channel was closed must not look like a cancelled task."""
    try:
        return _parsed(await pending)
    except asyncio.CancelledError:
        _raise_if_cancelled()
        raise _closing() from None
    finally:
        pending.cancel()


def _raise_if_cancelled() -> None:
    """Go on with a cancellation of the task, but not with that of a call whose channel was closed."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise asyncio.CancelledError


def _parsed(message: Any) -> Any:
    """What came: gRPC passes None on for bytes that are no such message. Raises `RpcError`."""
    if message is None:
        raise RpcError("Internal", "grpc: failed to unmarshal the received message")
    return message


def _closing() -> RpcError:
    return RpcError("Canceled", "grpc: the client connection is closing")


def _translated(error: grpc.aio.AioRpcError) -> RpcError:
    name = _GO_NAMES.get(error.code(), "Unknown")
    if name == "DeadlineExceeded":
        return RpcError(name, _TOO_LATE)
    return RpcError(name, error.details() or "")
