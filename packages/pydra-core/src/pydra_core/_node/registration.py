"""How the kubelet learns of this driver: GetInfo, then NotifyRegistrationStatus.

GetInfo has one second and must answer while a vendor library still loads, so nothing here waits for anything.
NotifyRegistrationStatus must never fail: an error there makes the kubelet forget the driver it just accepted.
"""

from __future__ import annotations

import asyncio
import logging

import grpc

from pydra_core._node.rpc import Context, Unary, service
from pydra_core._proto import pluginregistration_v1_pb2 as pb
from pydra_core._telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

SERVICES = ("v1.DRAPlugin", "v1beta1.DRAPlugin")
"""What we serve, best first: the kubelet takes the first of OUR list that it knows."""

_REASON_LIMIT = 1000
"""Characters of the kubelet's reason that are kept, logged and shown by the probe."""


class Registration:
    """The registration service, and what the kubelet last said about us."""

    def __init__(self, driver: str, endpoint: str, metrics: Metrics) -> None:
        self._driver = driver
        self._endpoint = endpoint
        self._metrics = metrics
        self._confirmed = asyncio.Event()
        self._count = 0
        self.refusal = "the kubelet has not asked yet"

    @property
    def registered(self) -> bool:
        """Whether the kubelet's last word was that it knows us."""
        return self._confirmed.is_set()

    @property
    def count(self) -> int:
        """How often the kubelet has confirmed us; it grows when a restarted kubelet asks again."""
        return self._count

    async def wait(self) -> None:
        """Return once the kubelet has confirmed the registration."""
        await self._confirmed.wait()

    def handler(self) -> grpc.GenericRpcHandler:
        """The gRPC service to put on the registration socket."""
        return service(
            "pluginregistration.Registration",
            {
                "GetInfo": Unary(pb.InfoRequest, self._get_info),
                "NotifyRegistrationStatus": Unary(pb.RegistrationStatus, self._notify),
            },
        )

    async def _get_info(self, _: pb.InfoRequest, __: Context) -> pb.PluginInfo:
        return pb.PluginInfo(
            type="DRAPlugin",
            name=self._driver,
            endpoint=self._endpoint,
            supported_versions=SERVICES,
        )

    async def _notify(
        self, status: pb.RegistrationStatus, _: Context
    ) -> pb.RegistrationStatusResponse:
        self._metrics.registered.set(1 if status.plugin_registered else 0)
        if status.plugin_registered:
            self._count += 1
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
        return pb.RegistrationStatusResponse()
