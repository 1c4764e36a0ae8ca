"""The DRA service on the driver's socket: v1 implemented once, v1beta1 adapted to it.

Each call gets one operation ID and a deadline: the kubelet's own less three seconds, at most 40. Answers hold
every UID that was asked for and no other, and one bad claim never fails its neighbours.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from pydra_core._node.checks import check_ref
from pydra_core._node.prepare import ClaimPath
from pydra_core._node.rpc import Context, Unary, service
from pydra_core._node.works import Answer
from pydra_core._proto import dra_v1_pb2 as v1
from pydra_core._proto import dra_v1beta1_pb2 as v1beta1
from pydra_core._telemetry.logs import operation
from pydra_core._telemetry.metrics import Metrics
from pydra_core._values import ClaimRef
from pydra_core.errors import ClaimError

_log = logging.getLogger(__name__)

_BUDGET = 40.0
_MARGIN = 3.0

Api: TypeAlias = Any
"""One of the two generated modules; their messages are alike except that v1beta1 knows no share ID."""


_Handle: TypeAlias = Callable[[ClaimRef, float], Awaitable[Answer]]


class DraService:
    """Serves prepare and unprepare in both versions of the API."""

    def __init__(self, claims: ClaimPath, metrics: Metrics) -> None:
        self._claims = claims
        self._metrics = metrics

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """The gRPC services to put on the DRA socket."""
        return tuple(self._service(api) for api in (v1, v1beta1))

    def _service(self, api: Api) -> grpc.GenericRpcHandler:
        async def prepare(request: Any, context: Context) -> Any:
            answers = await self._each("prepare", request, context, self._claims.prepare)
            return api.NodePrepareResourcesResponse(
                claims={uid: _prepared(api, answer) for uid, answer in answers.items()}
            )

        async def unprepare(request: Any, context: Context) -> Any:
            answers = await self._each("unprepare", request, context, self._claims.unprepare)
            return api.NodeUnprepareResourcesResponse(
                claims={
                    u: api.NodeUnprepareResourceResponse(error=_text(a.error))
                    for u, a in answers.items()
                }
            )

        return service(
            api.DESCRIPTOR.services_by_name["DRAPlugin"].full_name,
            {
                "NodePrepareResources": Unary(api.NodePrepareResourcesRequest, prepare),
                "NodeUnprepareResources": Unary(api.NodeUnprepareResourcesRequest, unprepare),
            },
        )

    async def _each(
        self,
        method: str,
        request: Any,
        context: Context,
        handle: _Handle,
    ) -> dict[str, Answer]:
        """Handle all claims of one call at the same time."""
        started = time.monotonic()
        deadline = started + budget(context)
        refs = {
            c.uid: ClaimRef(uid=c.uid, namespace=c.namespace, name=c.name) for c in request.claims
        }
        try:
            with operation():
                _log.debug("call", extra={"method": method, "claims": len(refs)})
                answers = await asyncio.gather(
                    *(self._one(method, ref, deadline, handle) for ref in refs.values())
                )
        finally:
            self._metrics.observe_call(method, time.monotonic() - started)
        return dict(zip(refs, answers, strict=True))

    async def _one(self, method: str, ref: ClaimRef, deadline: float, handle: _Handle) -> Answer:
        """Handle one claim, if there can be one of that name."""
        try:
            check_ref(ref)
        except ClaimError as err:
            self._metrics.claim(method, err.reason)
            _log.warning(
                "claim refused",
                extra={"operation": method, "reason": err.reason, "why": str(err)},
            )
            return Answer(error=str(err))
        return await handle(ref, deadline)


def budget(context: Context) -> float:
    """Seconds until the answer must be given."""
    remaining = context.time_remaining()
    if remaining is None:
        return _BUDGET
    return max(0.05, min(_BUDGET, remaining - min(_MARGIN, remaining / 10)))


def _prepared(api: Api, answer: Answer) -> Any:
    if answer.error:
        return api.NodePrepareResourceResponse(error=_text(answer.error))
    response = api.NodePrepareResourceResponse()
    for device in answer.devices:
        entry = response.devices.add(
            request_names=[device.request],
            pool_name=device.pool,
            device_name=device.device,
            cdi_device_ids=device.cdi_ids,
        )
        if device.share_id and api is v1:
            entry.share_id = device.share_id
    return response


def _text(error: str) -> str:
    """An error may quote a file name that is no UTF-8, which protobuf would refuse for the whole call."""
    return error.encode(errors="backslashreplace").decode()
