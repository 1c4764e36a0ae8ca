"""How the kubelet learns of this driver: GetInfo, then NotifyRegistrationStatus.

GetInfo has one second and must answer while a vendor library still loads, also one that blocks the event loop,
so this one service has threads of its own and nothing in it waits for anything. NotifyRegistrationStatus must
never fail: an error there makes the kubelet forget the driver it just accepted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from pydra_core._node.rpc import threaded_service
from pydra_core._node.sockets import remove_stale
from pydra_core._proto import pluginregistration_v1_pb2 as pb
from pydra_core._telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

SERVICES = ("v1.DRAPlugin", "v1beta1.DRAPlugin")
"""What we serve, best first: the kubelet takes the first of OUR list that it knows."""

_REASON_LIMIT = 1000
"""Characters of the kubelet's reason that are kept, logged and shown by the probe."""
_THREADS = 2
_GOODBYE = 1.0


class Registration:
    """The registration service, and what the kubelet last said about us."""

    def __init__(self, driver: str, endpoint: str, metrics: Metrics) -> None:
        self._driver = driver
        self._endpoint = endpoint
        self._metrics = metrics
        self._confirmed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.refusal = "the kubelet has not asked yet"

    @property
    def registered(self) -> bool:
        """Whether the kubelet's last word was that it knows us."""
        return self._confirmed.is_set()

    async def wait(self) -> None:
        """Return once the kubelet has confirmed the registration."""
        await self._confirmed.wait()

    @asynccontextmanager
    async def serve(self, path: Path) -> AsyncIterator[None]:
        """Serve on a Unix socket while the block runs; the socket goes first, the kubelet then knows."""
        self._loop = asyncio.get_running_loop()
        remove_stale(path)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="registration") as threads:
            server = grpc.server(threads)
            server.add_generic_rpc_handlers((self._handler(),))
            server.add_insecure_port(f"unix:{path}")
            server.start()
            try:
                yield
            finally:
                path.unlink(missing_ok=True)  # noqa: ASYNC240 (one unlink of a local socket)
                server.stop(0).wait(
                    _GOODBYE
                )  # not in a thread: a driver's hung calls may hold them all

    def _handler(self) -> grpc.GenericRpcHandler:
        return threaded_service(
            "pluginregistration.Registration",
            {
                "GetInfo": (pb.InfoRequest, self._get_info),
                "NotifyRegistrationStatus": (pb.RegistrationStatus, self._notify),
            },
        )

    def _get_info(self, _: pb.InfoRequest) -> pb.PluginInfo:
        return pb.PluginInfo(
            type="DRAPlugin",
            name=self._driver,
            endpoint=self._endpoint,
            supported_versions=SERVICES,
        )

    def _notify(self, status: pb.RegistrationStatus) -> pb.RegistrationStatusResponse:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._heard, status)
        return pb.RegistrationStatusResponse()

    def _heard(self, status: pb.RegistrationStatus) -> None:
        """Take in what the kubelet said, in the event loop."""
        self._metrics.registered.set(1 if status.plugin_registered else 0)
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
