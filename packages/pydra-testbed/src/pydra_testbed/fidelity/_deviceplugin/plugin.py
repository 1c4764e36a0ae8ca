"""The recorded plugin's part: a device plugin that says what it said then, and notes what it is asked now."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.json_format import MessageToDict, ParseDict

from pydra_core._proto import deviceplugin_v1beta1_pb2 as messages
from pydra_testbed.kubelet.rpc import LOCALHOST, Method, RpcError, open_channel, unary

_SERVICE = "v1beta1.DevicePlugin"
_REGISTER = Method("v1beta1.Registration", "Register", messages.Empty.FromString)
_KINDS: Mapping[str, tuple[Any, Any]] = {
    "GetDevicePluginOptions": (messages.Empty, messages.DevicePluginOptions),
    "GetPreferredAllocation": (
        messages.PreferredAllocationRequest,
        messages.PreferredAllocationResponse,
    ),
    "Allocate": (messages.AllocateRequest, messages.AllocateResponse),
    "PreStartContainer": (messages.PreStartContainerRequest, messages.PreStartContainerResponse),
}
_ENDLESS = 1e9
_ROUNDING = 0.01


@dataclass(frozen=True, slots=True)
class Heard:
    """One thing the kubelet did: a call with its request and deadline (None for none), or the end of its stream."""

    what: str
    request: Any = None
    deadline: float | None = None


CUT = Heard("the stream is cut")


@dataclass(slots=True)
class Plugin:
    """Serves at `socket`; `answers` are given by method, an exception's text for one that fails."""

    socket: Path
    devices: Any = None
    heard: list[Heard] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    before_answer: Callable[[str], Awaitable[None]] | None = None
    is_stopped: bool = False
    _server: Any = None
    _bound: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: bool = False

    async def serve(self) -> None:
        """Bind and answer."""
        server = grpc.aio.server()
        handlers: dict[str, Any] = {name: self._unary(name, *_KINDS[name]) for name in _KINDS}
        handlers["ListAndWatch"] = grpc.unary_stream_rpc_method_handler(
            self._lists,
            request_deserializer=messages.Empty.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
        # On a name of its own: a server that stops takes its file away at some time, and it may be the next one's by then.
        self._bound += 1
        behind = self.socket.with_name(f".{self._bound}-{self.socket.name}")
        server.add_insecure_port(f"unix:{behind}")
        await server.start()
        behind.rename(self.socket)
        self._server = server

    async def rebind(self) -> None:
        """Bind anew: the kubelet has removed the socket."""
        await self._server.stop(None)
        await self.serve()

    async def stop(self) -> None:
        """End, once."""
        if not self.is_stopped:
            self.is_stopped = True
            await self._server.stop(None)
            self.socket.unlink(missing_ok=True)

    def list(self, devices: Any) -> None:
        """Send this list from now on."""
        self.devices = devices
        self._changed.set()

    def end_stream(self) -> None:
        """End the list and go on serving."""
        self._ended = True
        self._changed.set()

    async def register(self, kubelet: Path, request: Mapping[str, Any], clock: Any) -> str:
        """Ask the kubelet to take it up; returns the refusal, empty for none."""
        channel = open_channel(str(kubelet), LOCALHOST)
        message = ParseDict(dict(request), messages.RegisterRequest(), ignore_unknown_fields=True)
        try:
            await unary(channel, _REGISTER, message, None, clock)
        except RpcError as error:
            return str(error).partition(" desc = ")[2]
        finally:
            await channel.close()
        return ""

    def _unary(self, name: str, request_kind: Any, answer_kind: Any) -> Any:
        async def answer(request: Any, context: Any) -> Any:
            self._note(name, request, context)
            if self.before_answer is not None:
                await self.before_answer(name)
            if name in self.failures:
                await context.abort(grpc.StatusCode.INTERNAL, self.failures[name])
            return ParseDict(self.answers.get(name, {}), answer_kind())

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=request_kind.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    async def _lists(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._note("ListAndWatch", request, context)
        self._ended = False
        context.add_done_callback(self._stream_ended)
        while not self._ended:
            self._changed.clear()
            yield ParseDict(self.devices, messages.ListAndWatchResponse())
            await self._changed.wait()

    def _stream_ended(self, _context: Any) -> None:
        """Note that the kubelet has cut the stream; an end of the plugin's own is none of its doing."""
        if not (self.is_stopped or self._ended):
            self.heard.append(CUT)

    def _note(self, name: str, request: Any, context: Any) -> None:
        left = context.time_remaining()
        body = MessageToDict(request, preserving_proto_field_name=True)
        self.heard.append(Heard(name, in_order(body), whole(left)))


def whole(seconds: float | None) -> float | None:
    """A deadline in whole seconds, of which some is spent on the way; None for one that never comes."""
    return None if seconds is None or seconds > _ENDLESS else math.ceil(seconds - _ROUNDING)


def in_order(body: Any) -> Any:
    """A request with its device IDs in order: the kubelet takes them from a set."""
    if isinstance(body, dict):
        return {key: in_order(value) for key, value in body.items()}
    if isinstance(body, list):
        found = [in_order(value) for value in body]
        return sorted(found) if all(isinstance(value, str) for value in found) else found
    return body
