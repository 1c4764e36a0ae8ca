"""Makes the writes of a plan, one call each. The publisher decides which, and keeps what is answered."""

from __future__ import annotations

from pydra_core._api.client import KubeClient
from pydra_core._api.plan import Body, Write
from pydra_core._api.slices import checked_slice
from pydra_core._telemetry.metrics import Metrics
from pydra_core.errors import ApiError

SLICES = "/apis/resource.k8s.io/v1/resourceslices"
_NOT_FOUND = 404


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
                stored = await self._client.send("POST", SLICES, write.body)
            case "update":
                stored = await self._client.send("PUT", path, write.body)
            case _:
                await self._delete(path, write.body)
                return None
        return checked_slice(f"{write.verb} {SLICES}", stored)

    async def _delete(self, path: str, body: Body) -> None:
        known = {key: body["metadata"][key] for key in ("uid", "resourceVersion")}
        try:
            await self._client.send("DELETE", path, {"preconditions": known})
        except ApiError as err:
            if err.status != _NOT_FOUND:
                raise
