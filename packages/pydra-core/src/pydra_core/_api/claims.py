"""From a kubelet's claim reference to the claim a driver sees: fetched, checked, filtered, decoded.

Claims are read one by one: they carry no node, so a watch would bring every tenant's claims to every node.
An allocation is immutable once set, so one that was seen is kept by UID for the kubelet's retries.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from urllib.parse import quote

import msgspec

from pydra_core._api.allocation import Result, allocations
from pydra_core._api.client import KubeClient
from pydra_core._api.config import Configs, RawConfig
from pydra_core._parameters.models import Model
from pydra_core._values import Claim, ClaimRef
from pydra_core.errors import (
    ApiError,
    ApiNotServedError,
    ClaimError,
    ClaimNotAllocatedError,
    ClaimReplacedError,
)

_NOT_FOUND = 404


class _Devices(msgspec.Struct):
    results: list[Result] | None = None
    config: list[RawConfig] | None = None


class _Allocation(msgspec.Struct):
    devices: _Devices = msgspec.field(default_factory=_Devices)


class _Status(msgspec.Struct):
    allocation: _Allocation | None = None


class _Metadata(msgspec.Struct):
    uid: str


class _ResourceClaim(msgspec.Struct):
    metadata: _Metadata
    status: _Status | None = None


_decoder = msgspec.json.Decoder(_ResourceClaim)


class Claims:
    """Reads claims for one driver, at most `parallel` at a time."""

    def __init__(
        self,
        client: KubeClient,
        driver: str,
        config: Model | None,
        *,
        parallel: int = 16,
        kept: int = 256,
    ) -> None:
        self._client = client
        self._driver = driver
        self._config = config
        self._slots = asyncio.Semaphore(parallel)
        self._seen: OrderedDict[str, Claim] = OrderedDict()
        self._kept = kept

    async def fetch(self, ref: ClaimRef) -> Claim:
        """Return the claim as the driver sees it.

        Raises:
            ClaimReplacedError: the name now belongs to another UID.
            ClaimNotAllocatedError: no allocation, or none of this driver.
            ClaimConfigError: opaque parameters do not fit the driver's model.
            ApiError: the claim could not be read.
        """
        if seen := self._seen.get(ref.uid):
            return seen
        async with self._slots:
            body = await self._get(ref)
        claim = _claim(ref, body, self._driver, self._config)
        self._seen[ref.uid] = claim
        while len(self._seen) > self._kept:
            self._seen.popitem(last=False)
        return claim

    def forget(self, uid: str) -> None:
        """Drop what is kept of a claim, once the journal has it or it is gone."""
        self._seen.pop(uid, None)

    async def _get(self, ref: ClaimRef) -> bytes:
        namespace, name = quote(ref.namespace, safe=""), quote(ref.name, safe="")
        path = f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims/{name}"
        try:
            return await self._client.get(path)
        except ApiError as err:
            if err.status == _NOT_FOUND and not isinstance(err, ApiNotServedError):
                raise ClaimReplacedError(
                    f"claim {ref}: does not exist (UID {ref.uid} was asked for); delete the pod that waits for it",
                    uid=ref.uid,
                ) from err
            raise ApiError(
                f"claim {ref}: cannot be read: {err}",
                status=err.status,
                retry_after=err.retry_after,
            ) from err


def _claim(ref: ClaimRef, body: bytes, driver: str, config: Model | None) -> Claim:
    try:
        claim = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise ClaimError(
            f"claim {ref}: the API server sent an object that cannot be read: {err}"
        ) from err
    if claim.metadata.uid != ref.uid:
        raise ClaimReplacedError(
            f"claim {ref}: was replaced: asked for UID {ref.uid}, found {claim.metadata.uid};"
            " delete the pod that waits for the old claim",
            uid=ref.uid,
        )
    allocation = claim.status.allocation if claim.status else None
    if allocation is None:
        raise ClaimNotAllocatedError(
            f"claim {ref}: has no allocation; the scheduler allocates it with its pod"
        )
    results = enumerate(allocation.devices.results or [])
    ours = {index: r for index, r in results if r.driver == driver}
    if not ours:
        raise ClaimNotAllocatedError(
            f"claim {ref}: its allocation holds no device of driver {driver}"
        )
    configs = Configs(ref, driver, config, allocation.devices.config or [])
    return Claim(ref=ref, allocations=allocations(ref, ours, configs))
