"""One running instance of a driver, as the kubelet holds it: a link and what is called on it.

Created at registration by `DriverRegistry`, used by the DRA manager. The link lives as long as the
registration and reconnects by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from pydra_core._proto import dra_health_v1alpha1_pb2 as health
from pydra_testbed.kubelet.calls import ClaimRef
from pydra_testbed.kubelet.link import DriverLink
from pydra_testbed.kubelet.rpc import Method
from pydra_testbed.kubelet.services import ClaimAnswer, DraService, answers

_WATCH = Method(
    "v1alpha1.DRAResourceHealth",
    "NodeWatchResources",
    health.NodeWatchResourcesResponse.FromString,
)


class DriverInstance:
    """A registered endpoint of a driver; `connected` follows its one gRPC connection."""

    def __init__(self, driver: str, link: DriverLink, service: DraService, timeout: float) -> None:
        link.driver = driver
        self.driver = driver
        self.endpoint = link.endpoint
        self.service = service
        self.connected = False
        self._link = link
        self._timeout = timeout

    async def follow_connection(self, changed: Callable[[], None]) -> None:
        """Keep `connected` true to the link and call `changed` after each change."""

        def update(connected: bool) -> None:  # noqa: FBT001 the link reports a state, not an option
            self.connected = connected
            changed()

        await self._link.follow(update)

    async def prepare(self, claims: Sequence[ClaimRef]) -> dict[str, ClaimAnswer]:
        """NodePrepareResources for claims of one pod; raises `RpcError`."""
        request = self.service.prepare_request(claims)
        return answers(await self._link.call(self.service.prepare, request, self._timeout, claims))

    async def unprepare(self, claims: Sequence[ClaimRef]) -> dict[str, ClaimAnswer]:
        """NodeUnprepareResources; raises `RpcError`."""
        request = self.service.unprepare_request(claims)
        return answers(
            await self._link.call(self.service.unprepare, request, self._timeout, claims)
        )

    async def health_reports(self) -> AsyncIterator[health.NodeWatchResourcesResponse]:
        """What the driver says of its devices' health, until the stream ends; raises `RpcError`."""
        async for response in self._link.stream(_WATCH, health.NodeWatchResourcesRequest()):
            yield response

    async def drop(self) -> None:
        """Cut the connection; another one is opened."""
        await self._link.drop()

    async def close(self) -> None:
        """Drop the connection; calls in flight are cancelled."""
        await self._link.close()
