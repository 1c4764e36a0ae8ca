"""Makes the writes of a plan, one call each. The publisher decides which, and keeps what is answered."""

from __future__ import annotations

import logging

from pydra_core._api.client import KubeClient
from pydra_core._api.plan import Body, Write
from pydra_core._api.slices import checked_slice
from pydra_core._telemetry.metrics import Metrics
from pydra_core.errors import ApiError

SLICES = "/apis/resource.k8s.io/v1/resourceslices"
_NOT_FOUND, _CONFLICT, _INVALID = 404, 409, 422
_log = logging.getLogger(__name__)


class SliceWriter:
    """Creates, updates and deletes slices."""

    def __init__(self, client: KubeClient, metrics: Metrics) -> None:
        self._client = client
        self._metrics = metrics

    async def make(self, write: Write) -> Body | None:
        """Make one write; returns what the API holds now, None after a delete.

        An update carries the version it was planned for, a delete as a condition: whoever was overtaken is refused.

        Raises:
            ApiError: it was refused, or the answer is no slice.
        """
        self._metrics.slice_write(write.verb)
        path = f"{SLICES}/{write.body['metadata']['name']}"
        match write.verb:
            case "create":
                stored = await self._create(write.body)
            case "update":
                stored = await self._client.send("PUT", path, write.body)
            case _:
                await self._delete(path, write.body)
                return None
        return checked_slice(f"{write.verb} {SLICES}", stored)

    async def _create(self, body: Body) -> Body:
        try:
            return await self._client.send("POST", SLICES, body)
        except ApiError as err:
            if err.status == _INVALID and body["spec"].get("perDeviceNodeSelection"):
                told = f"{err} (a server whose feature gate DRAPartitionableDevices is off takes no nodes of devices)"
                raise ApiError(told, status=_INVALID) from err
            if err.status == _CONFLICT:
                spec, name = body["spec"], body["metadata"]["name"]
                why = (
                    f"slice {name}: exists already and is not of these pools; if pool {spec['pool']['name']!r} of driver"
                    f" {spec['driver']} is called like a node, give it another name"
                )
                _log.warning("slice exists already", extra={"slice": name, "why": why})
                raise ApiError(why, status=_CONFLICT) from err
            raise

    async def _delete(self, path: str, body: Body) -> None:
        known = {key: body["metadata"][key] for key in ("uid", "resourceVersion")}
        try:
            await self._client.send("DELETE", path, {"preconditions": known})
        except ApiError as err:
            if err.status != _NOT_FOUND:
                raise
