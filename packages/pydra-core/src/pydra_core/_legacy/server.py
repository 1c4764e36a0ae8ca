"""The device plugin service of one resource (`v1beta1.DevicePlugin`), on a socket of its own.

A kubelet asks for options, reads the list, and calls Allocate while a pod waits for admission: one container at a time,
without a deadline, and a refusal is final for the pod. PreStartContainer comes before each start of a container, which
after a reboot is all there is. Where claims are served too it is not asked for: the kubelet (1.36) then also calls it
for containers that get the resource by a claim (KEP-5004), and starts none of them, because it gave them nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import grpc

from pydra_core._legacy.holding import Holdings
from pydra_core._legacy.listing import Listing
from pydra_core._legacy.preferring import preferred
from pydra_core._node.rpc import Context, Stream, Unary, service
from pydra_core._node.service import budget
from pydra_core._proto import deviceplugin_v1beta1_pb2 as pb
from pydra_core._state.records import Prepared
from pydra_core._telemetry.logs import operation
from pydra_core._telemetry.metrics import Metrics
from pydra_core.driver import Driver
from pydra_core.errors import ClaimError, DeviceGoneError, PydraError

_log = logging.getLogger(__name__)
_AGAIN = 3.0
"""Seconds after which a new reader gets the list once more: what ends an earlier connection of the kubelet's may have
marked all devices unhealthy meanwhile."""


@dataclass(frozen=True, slots=True)
class Part:
    """How much of a resource's service there is.

    Attributes:
        gives: Devices are on offer; else the list is empty, and the service only stands behind what pods have.
        tells_starts: The kubelet is to tell of each container that starts.
    """

    gives: bool
    tells_starts: bool


WHOLE = Part(gives=True, tells_starts=True)


class Service:
    """Serves one resource."""

    def __init__(
        self,
        driver: Driver,
        resource: str,
        holdings: Holdings,
        listing: Listing,
        metrics: Metrics,
        compose: Callable[[Sequence[Prepared]], pb.ContainerAllocateResponse],
        part: Part = WHOLE,
    ) -> None:
        """Begin.

        Args:
            driver: whose preference is asked.
            resource: its name.
            holdings: gives the devices.
            listing: what is told of them.
            metrics: of this process.
            compose: makes a container's answer from what is prepared.
            part: how much of the service there is.
        """
        self.on_lost: Callable[[], None] = lambda: None
        """Called when the kubelet, which goes on living, let the newest reader of the list go."""
        self.options = pb.DevicePluginOptions(
            pre_start_required=part.tells_starts, get_preferred_allocation_available=True
        )
        self._part = part
        self._driver = driver
        self._resource = resource
        self._holdings = holdings
        self._listing = listing
        self._metrics = metrics
        self._compose = compose
        self._news: set[asyncio.Event] = set()
        self._newest: asyncio.Event | None = None
        self._is_ending = False

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """The gRPC service."""
        return (
            service(
                "v1beta1.DevicePlugin",
                {
                    "GetDevicePluginOptions": Unary(pb.Empty, self._options),
                    "ListAndWatch": Stream(pb.Empty, self._list),
                    "GetPreferredAllocation": Unary(pb.PreferredAllocationRequest, self._prefer),
                    "Allocate": Unary(pb.AllocateRequest, self._allocate),
                    "PreStartContainer": Unary(pb.PreStartContainerRequest, self._pre_start),
                },
            ),
        )

    @property
    def is_read(self) -> bool:
        """Whether the kubelet reads the list on the connection it made last; it may keep older ones by mistake."""
        return self._newest is not None

    def forget_reader(self) -> None:
        """Take note that the connections are cut by ourselves: that nobody reads then is no loss."""
        self._newest = None

    def end(self) -> None:
        """End all lists, so that the server can stop."""
        self._is_ending = True
        for news in self._news:
            news.set()

    async def _options(self, _request: pb.Empty, _context: Context) -> pb.DevicePluginOptions:
        return self.options

    async def _list(self, _request: pb.Empty, context: Context) -> AsyncIterator[bytes]:
        news = asyncio.Event()
        self._begin_reader(news, context)
        again = time.monotonic() + _AGAIN
        while not self._is_ending:
            news.clear()
            yield self._listing.whole(self._resource) if self._part.gives else b""
            left = again - time.monotonic()
            try:
                async with asyncio.timeout(left if left > 0 else None):
                    await news.wait()
            except TimeoutError:
                again = 0.0

    def _begin_reader(self, news: asyncio.Event, context: Context) -> None:
        """Not ended in a `finally`: a stream that is cut while it sends leaves its generator where it is."""
        self._news.add(news)
        self._newest = news
        self._listing.add_reader(self._resource, news)

        def ended(_: object) -> None:
            self._news.discard(news)
            self._listing.remove_reader(self._resource, news)
            if self._newest is not news:
                return
            self._newest = None
            if not self._is_ending:
                details = {"resource": self._resource, "why": "it ended the connection"}
                _log.warning("the kubelet reads no more", extra=details)
                self.on_lost()

        context.add_done_callback(ended)  # type: ignore[arg-type] # the stubs want a context of their own kind

    async def _prefer(
        self, request: pb.PreferredAllocationRequest, _context: Context
    ) -> pb.PreferredAllocationResponse:
        offer, response = self._holdings.offer, pb.PreferredAllocationResponse()
        for asked in request.container_requests:
            resource = offer.resources.get(self._resource)
            chosen = resource and preferred(
                self._driver,
                resource,
                offer.units[self._resource],
                asked.available_deviceIDs,
                asked.must_include_deviceIDs,
                asked.allocation_size,
            )
            response.container_responses.add(deviceIDs=chosen or ())
        return response

    async def _allocate(self, request: pb.AllocateRequest, context: Context) -> pb.AllocateResponse:
        started = time.monotonic()
        deadline = started + budget(context)
        response = pb.AllocateResponse()
        try:
            with operation():
                for asked in request.container_requests:
                    response.container_responses.append(
                        await self._give(tuple(asked.devices_ids), deadline)
                    )
        except PydraError as err:
            await self._refuse("allocate", err, context)
        finally:
            self._metrics.observe_call("allocate", time.monotonic() - started)
        return response

    async def _give(self, ids: tuple[str, ...], deadline: float) -> pb.ContainerAllocateResponse:
        resource = self._holdings.offer.resources.get(self._resource)
        if resource and 0 < resource.most < len(ids):
            raise ClaimError(
                f"{self._resource}: a container can use {resource.most} of them, and one of this pod asks for"
                f" {len(ids)}; ask for fewer, or in several containers"
            )
        answer: list[pb.ContainerAllocateResponse] = []
        await self._holdings.allocate(
            self._resource, ids, deadline, lambda given: answer.append(self._compose(given))
        )
        return answer[0]

    async def _pre_start(
        self, request: pb.PreStartContainerRequest, context: Context
    ) -> pb.PreStartContainerResponse:
        started = time.monotonic()
        try:
            with operation():
                ids = tuple(request.devices_ids)
                await self._holdings.ensure(self._resource, ids, started + budget(context))
        except PydraError as err:
            await self._refuse("pre-start", err, context)
        finally:
            self._metrics.observe_call("pre-start", time.monotonic() - started)
        return pb.PreStartContainerResponse()

    async def _refuse(self, what: str, err: PydraError, context: Context) -> None:
        """Answer with an error a person can read in the pod's status; the word claim would mean nothing there."""
        text = " ".join(str(err).split()).replace(f"claim {self._resource}/", f"{self._resource} ")
        details = {"operation": what, "resource": self._resource, "reason": err.reason}
        _log.warning("container refused", extra={**details, "why": text})
        gone = isinstance(err, DeviceGoneError)
        code = grpc.StatusCode.NOT_FOUND if gone else grpc.StatusCode.FAILED_PRECONDITION
        await context.abort(code, text.encode(errors="backslashreplace").decode())
