"""How the kubelet learns of this driver: GetInfo, then NotifyRegistrationStatus.

GetInfo has one second and must answer while a vendor library still loads, also one that blocks the event loop,
so this one service has threads of its own and nothing in it waits for anything. NotifyRegistrationStatus must
never fail: an error there makes the kubelet forget the driver it just accepted.

A kubelet that does not know us and does not ask is shown the socket anew: it looks at sockets that appear.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc

from pydra_core._node.rpc import threaded_service
from pydra_core._node.sockets import bind, identity, remove_stale
from pydra_core._proto import pluginregistration_v1_pb2 as pb
from pydra_core._telemetry.metrics import Metrics
from pydra_core.errors import PydraError

_log = logging.getLogger(__name__)

SERVICES = ("v1.DRAPlugin", "v1beta1.DRAPlugin")
"""What we serve, best first: the kubelet takes the first of OUR list that it knows."""

_SILENT = "the kubelet has not asked yet"
_REASON_LIMIT = 1000
"""Characters of the kubelet's reason that are kept, logged and shown by the probe."""
_THREADS = 2
_GOODBYE = 1.0
_LOOK = 1.0
_SILENCE = 60.0
"""Seconds without a word of an unknowing kubelet until it is shown the socket anew."""
_DOUBT = 10.0
"""Seconds in which a kubelet that wiped our slices because it restarted asks again."""
_SETTLED = 25.0
"""Seconds after which a kubelet that asked has also wiped what it wipes when it starts; it loses a connection for 30
before it wipes for that."""


class Registration:
    """The registration service, and what the kubelet last said about us."""

    def __init__(
        self,
        driver: str,
        endpoint: str,
        metrics: Metrics | None,
        *,
        kind: str = "DRAPlugin",
        versions: Sequence[str] = SERVICES,
    ) -> None:
        """Begin.

        Args:
            driver: the name the kubelet shall know.
            endpoint: where it then calls.
            metrics: are told whether it is known; None where others are.
            kind: what of the kubelet's three it is.
            versions: what is served there, best first.
        """
        self._kind = kind
        self._versions = versions
        self._driver = driver
        self._endpoint = endpoint
        self._metrics = metrics
        self._confirmed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: grpc.Server | None = None
        self._socket: tuple[int, int] | None = None
        self._heard_at = 0.0
        self._doubted_at: float | None = None
        self._offered = True
        self._is_forgotten = False
        self._wake = asyncio.Event()
        self.on_change: Callable[[bool], None] = lambda _: None
        self.refusal = _SILENT

    @property
    def registered(self) -> bool:
        """Whether the kubelet's last word was that it knows us."""
        return self._confirmed.is_set()

    async def wait(self) -> None:
        """Return once the kubelet has confirmed the registration."""
        await self._confirmed.wait()

    def doubt(self) -> None:
        """Take note that the kubelet may have forgotten us: somebody wiped our slices.

        A kubelet that restarts wipes them and asks GetInfo, in either order, within seconds; one that believes our
        connection lost wipes them and never asks.
        """
        now = time.monotonic()
        if now - self._heard_at > _SETTLED:
            self._doubted_at = now

    def offer(self, *, offered: bool) -> None:
        """Show the kubelet the socket from now on, or no longer: then it lets go of the driver."""
        if offered and not self._offered:
            self.refusal = _SILENT
        self._offered = offered
        self._wake.set()

    def show_again(self) -> None:
        """Show the socket to the kubelet anew, which is known to have let go of what it calls there."""
        self._is_forgotten = True
        self._wake.set()

    @asynccontextmanager
    async def serve(self, path: Path) -> AsyncIterator[None]:
        """Serve on a Unix socket while the block runs; the socket goes first, the kubelet then knows."""
        self._loop = asyncio.get_running_loop()
        remove_stale(path)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="registration") as threads:
            if self._offered:
                self._open(path, threads)
            keeper = asyncio.ensure_future(self._keep_visible(path, threads))
            try:
                yield
            finally:
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)
                self._close(path)

    async def _keep_visible(self, path: Path, threads: ThreadPoolExecutor) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._wake.wait()
            self._wake.clear()
            if not self._offered:
                self._withdraw(path)
                continue
            why = self._why_unseen(path)
            if why:
                _log.warning("shown to the kubelet anew", extra={"socket": path, "why": why})
                self._close(path)
                try:
                    remove_stale(path)
                    self._open(path, threads)
                except (PydraError, OSError, RuntimeError) as err:  # the next look tries again
                    details = {"socket": path, "why": str(err)}
                    _log.error("socket cannot be shown to the kubelet", extra=details)

    def _withdraw(self, path: Path) -> None:
        """Take the socket away, as long as nobody wants it to be seen."""
        if self._server is None:
            return
        self._close(path)
        self._server = self._socket = None
        self._confirmed.clear()
        self._count(registered=False)
        self.refusal = "the kubelet is not asked"
        self.on_change(False)

    def _why_unseen(self, path: Path) -> str:
        now = time.monotonic()
        if self._server is None:
            return "DRA is wanted"
        if self._is_forgotten:
            self._is_forgotten = False
            return "the kubelet let go"
        if identity(path) != self._socket:
            return "the registration socket was removed"
        if not self.registered and now - self._heard_at > _SILENCE:
            return "the kubelet has not confirmed and does not ask"
        doubted = self._doubted_at
        if doubted and now - doubted > _DOUBT:
            self._doubted_at = None
            if self._heard_at < doubted:
                return "the kubelet wiped the slices and does not ask"
        return ""

    def _open(self, path: Path, threads: ThreadPoolExecutor) -> None:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers((self._handler(),))
        bind(server, path)
        server.start()
        self._server, self._socket, self._heard_at = server, identity(path), time.monotonic()

    def _close(self, path: Path) -> None:
        if identity(path) == self._socket:  # not one that somebody put in its place
            path.unlink(missing_ok=True)
        if self._server:  # not waited for in a thread: a driver's hung calls may hold them all
            self._server.stop(0).wait(_GOODBYE)

    def _handler(self) -> grpc.GenericRpcHandler:
        return threaded_service(
            "pluginregistration.Registration",
            {
                "GetInfo": (pb.InfoRequest, self._get_info),
                "NotifyRegistrationStatus": (pb.RegistrationStatus, self._notify),
            },
        )

    def _get_info(self, _: pb.InfoRequest) -> pb.PluginInfo:
        self._heard_at = time.monotonic()
        return pb.PluginInfo(
            type=self._kind,
            name=self._driver,
            endpoint=self._endpoint,
            supported_versions=self._versions,
        )

    def _notify(self, status: pb.RegistrationStatus) -> pb.RegistrationStatusResponse:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._heard, status)
        return pb.RegistrationStatusResponse()

    def _count(self, *, registered: bool) -> None:
        if self._metrics:
            self._metrics.registered.set(int(registered))

    def _heard(self, status: pb.RegistrationStatus) -> None:
        """Take in what the kubelet said, in the event loop; what it said of a socket that is gone counts no more."""
        if not self._offered:
            return
        self._heard_at = time.monotonic()
        self._count(registered=status.plugin_registered)
        if status.plugin_registered:
            self.refusal = ""
            self._confirmed.set()
            _log.info(
                "registered with the kubelet",
                extra={"driver": self._driver, "endpoint": self._endpoint},
            )
        else:
            self.refusal = status.error[:_REASON_LIMIT] or "the kubelet gave no reason"
            self._confirmed.clear()
            _log.error(
                "the kubelet refused the registration",
                extra={"driver": self._driver, "why": self.refusal},
            )
        self.on_change(status.plugin_registered)
