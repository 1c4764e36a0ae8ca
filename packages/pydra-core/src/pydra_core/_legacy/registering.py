"""Keeps one resource's socket served and the kubelet told of it, whatever happens to either.

A kubelet that starts removes every socket of its folder, ours too, and makes its own anew: then ours is made again and
registered. A registration counts only if our socket was there all the while, for the kubelet dials it, and only if the
kubelet then reads the list. Where the folder or the kubelet's socket in it cannot be used, ours lies elsewhere and is
shown to the kubelet in plugins_registry, as DRA sockets are (type `DevicePlugin`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import grpc

from pydra_core._legacy.server import Service
from pydra_core._node.registration import Registration
from pydra_core._node.sockets import ResourceSockets, bind, identity, remove_stale
from pydra_core._proto import deviceplugin_v1beta1_pb2 as pb
from pydra_core.errors import PydraError

_log = logging.getLogger(__name__)
VERSION = "v1beta1"
_LOOK = 0.5
"""Seconds between two looks at the sockets."""
_ABSENT = 10.0
"""Seconds for which a kubelet's socket may be missing until the other way is taken."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_DIAL = 15.0
"""Seconds a registration may take; the kubelet dials back within 10."""
_LASTING = 30.0
"""Seconds after which a registration counts as one that lasts: the next is tried without a pause again."""
_NO_WAY = {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED}
"""Answers after which the other way is taken."""
_OWN = (("grpc.use_local_subchannel_pool", 1),)
"""Else a kubelet that was not there for one resource's call is not tried for another's for a while."""
_UNREAD = 10.0
"""Seconds a kubelet that took it up has to begin to read the list; it does so at once, or never."""
_REGISTRY_PAUSE = 2.0
"""Seconds a kubelet has, after it let go, to find the socket by itself."""


class Endpoint:
    """One resource of this process as the kubelet meets it."""

    def __init__(self, resource: str, sockets: ResourceSockets, service: Service) -> None:
        """Begin; nothing is served before `run`.

        Args:
            resource: its name.
            sockets: where everything lies.
            service: what is served.
        """
        self.problem = "the kubelet does not know it yet"
        self.on_change: Callable[[], None] = lambda: None
        self.on_kubelet: Callable[[], None] = lambda: None
        """Called when another kubelet has made its socket."""
        self.superseded: Callable[[], bool] = lambda: False
        self._resource = resource
        self._sockets = sockets
        self._service = service
        self._server: grpc.aio.Server | None = None
        self._served: tuple[Path, tuple[int, int] | None] | None = None
        self._known_to: tuple[int, int] | None = None
        self._seen: tuple[int, int] | None = None
        self._has_looked = False
        self._absent_since = time.monotonic()
        self._registry: tuple[AsyncExitStack, Registration] | None = None
        self._not_before = 0.0
        self._pause = _FIRST_PAUSE
        self._registered_at = 0.0
        self._read_at = 0.0
        self._is_lost = False
        self._no_direct_way = False
        self._wake = asyncio.Event()
        service.on_lost = lambda: self._lost("the kubelet let it go")

    @property
    def registered(self) -> bool:
        """Whether the kubelet took it up, by its last word."""
        return not self.problem

    async def run(self, grace: Callable[[], float]) -> None:
        """Serve and register until cancelled; then calls in flight have `grace` seconds."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self._look()
                except (PydraError, OSError, RuntimeError) as err:
                    self._tell(str(err))
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK):
                        await self._wake.wait()
        finally:
            self._service.end()
            await self._close(grace())

    async def _look(self) -> None:
        self._look_at_reader()
        if self._is_direct():
            if self._registry:
                await self._close_registry()
            await self._serve(self._sockets.service)
            await self._register_when_due()
        else:
            await self._serve(self._sockets.elsewhere)
            await self._show()

    def _look_at_reader(self) -> None:
        """Whoever took it up and does not read the list has let it go without a word, as if it could not connect."""
        now = time.monotonic()
        if self.problem or self._service.is_read:
            self._read_at = now
        elif now - max(self._read_at, self._registered_at) > _UNREAD:
            self._lost("the kubelet took it up and does not read its list")

    def _is_direct(self) -> bool:
        """Whether the kubelet's own socket is the way; a kubelet that is just starting has not made it yet."""
        now, found = time.monotonic(), identity(self._sockets.kubelet)
        if found:
            self._absent_since = now
            if self._has_looked and found != self._seen:
                self._no_direct_way = False
                self._not_before, self._pause = 0.0, _FIRST_PAUSE  # that was about the one before
                self.on_kubelet()
            self._seen = found
        self._has_looked = True
        if self._registry and self._registry[1].registered:
            return False
        if not self._sockets.kubelet.parent.is_dir() or self._no_direct_way:
            return False
        return bool(found) or now - self._absent_since < _ABSENT

    async def _serve(self, path: Path) -> None:
        """Be there under that path; a socket that was removed is made again."""
        if self._is_served(path):
            return
        if self._served and self._served[0] == path:
            _log.warning("socket is made again", extra={"socket": path, "why": "it was removed"})
            self._tell("our socket was removed")
        await self._close(0.0)
        remove_stale(path)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(self._service.handlers())
        bind(server, path)
        await server.start()
        self._server, self._served, self._known_to = server, (path, identity(path)), None
        self._not_before = 0.0  # that was for who refused us, and not for who cannot find us

    def _is_served(self, path: Path) -> bool:
        """Whether what lies there is the socket we made."""
        return self._served == (path, identity(path))

    async def _register_when_due(self) -> None:
        kubelet = self._sockets.kubelet
        found = identity(kubelet)
        if found is None:
            self._tell(f"{kubelet}: is not there; the kubelet makes it when it starts")
            return
        if found == self._known_to and not self._is_lost:
            return
        if self.superseded():  # the younger instance is the one to register
            return
        now = time.monotonic()
        if now < self._not_before or not self._is_served(self._sockets.service):
            return
        self._is_lost, self._known_to = False, None  # what is refused now is tried again
        answer = await self._register(kubelet)
        if not self._is_served(self._sockets.service):
            return  # it counts as not made: the next look makes the socket anew, and tells of it at once
        self._not_before = now + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        if answer is None:
            self._known_to, self._registered_at = found, time.monotonic()
            self._tell("")
        else:
            code, text = answer
            self._no_direct_way = code in _NO_WAY
            self._tell(f"the kubelet refused it: {text or code.name}")

    async def _register(self, kubelet: Path) -> tuple[grpc.StatusCode, str] | None:
        """Tell the kubelet, which dials back before it answers; given up as soon as there is nothing to dial.

        Returns:
            How it refused; None if it did not.
        """
        request = pb.RegisterRequest(
            version=VERSION,
            endpoint=self._sockets.service.name,
            resource_name=self._resource,
            options=self._service.options,
        )
        async with grpc.aio.insecure_channel(f"unix:{kubelet}", options=_OWN) as channel:
            method = channel.unary_unary(
                "/v1beta1.Registration/Register",
                request_serializer=pb.RegisterRequest.SerializeToString,
                response_deserializer=pb.Empty.FromString,
            )
            call = method(request, timeout=_DIAL)
            answered = asyncio.ensure_future(call.code())
            try:
                while not answered.done() and self._is_served(self._sockets.service):
                    await asyncio.wait((answered,), timeout=_LOOK)
            finally:
                call.cancel()  # nothing happens if it was answered
                await asyncio.wait((answered,))
            code = answered.result()
            return None if code is grpc.StatusCode.OK else (code, await call.details() or "")

    async def _show(self) -> None:
        """Have the kubelet find us in plugins_registry."""
        if self._registry is None:
            path = self._sockets.elsewhere
            registration = Registration(
                self._resource, str(path), None, kind="DevicePlugin", versions=(VERSION,)
            )
            stack = AsyncExitStack()
            await stack.enter_async_context(registration.serve(self._sockets.registration))
            self._registry = stack, registration
        registration = self._registry[1]
        if self._is_lost and time.monotonic() > self._not_before:
            self._is_lost = False
            if not self._service.is_read:
                registration.show_again()
        self._tell(registration.refusal or ("the kubelet let it go" if self._is_lost else ""))

    def _lost(self, why: str) -> None:
        """The kubelet lives and let us go: as when another instance ends, for it knows us by the resource's name."""
        now = time.monotonic()
        if now - self._registered_at > _LASTING:
            self._pause = _FIRST_PAUSE
        self._is_lost = True
        self._not_before = now + (_REGISTRY_PAUSE if self._registry else self._pause)
        self._tell(why)

    def _tell(self, problem: str) -> None:
        if problem == self.problem:
            return
        before, self.problem = self.problem, problem
        if problem:
            _log.warning("not registered", extra={"resource": self._resource, "why": problem})
        elif before:
            _log.info("registered with the kubelet", extra={"resource": self._resource})
        self.on_change()

    async def _close(self, grace: float) -> None:
        """The list's end goes first, by which the kubelet knows; gRPC removes the socket's file itself, if at all."""
        await self._close_registry()
        server, self._server = self._server, None
        served, self._served = self._served, None
        if served and identity(served[0]) == served[1]:
            served[0].unlink(missing_ok=True)
        self._service.forget_reader()
        if server:
            await server.stop(grace)

    async def _close_registry(self) -> None:
        registry, self._registry = self._registry, None
        if registry:
            await registry[0].aclose()
