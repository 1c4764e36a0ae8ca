"""Which devices of the cluster's pools are still in the hands of claims although the driver has them no more.

A node's driver knows its claims from its journal; a process without a node asks the API, and only when a device is
to go. Called by the publisher before it compares.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from pydra_core._api.client import KubeClient
from pydra_core._api.plan import Body
from pydra_core._api.wanted import Key, Marks, Wanted
from pydra_core.errors import ApiError

_log = logging.getLogger(__name__)
_CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"
_PAGE = 500
_EVERY = 30.0


class _Result(msgspec.Struct):
    driver: str
    pool: str
    device: str


class _Devices(msgspec.Struct):
    results: list[_Result] | None = None


class _Allocation(msgspec.Struct):
    devices: _Devices | None = None


class _Status(msgspec.Struct):
    allocation: _Allocation | None = None


class _Claim(msgspec.Struct):
    status: _Status | None = None


class _Metadata(msgspec.Struct):
    next: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _Metadata
    items: list[_Claim] | None = None


class Holders:
    """Keeps what is to go and cannot yet."""

    def __init__(self, client: KubeClient, driver: str, wanted: Wanted) -> None:
        self._client = client
        self._driver = driver
        self._wanted = wanted
        self._held: frozenset[Key] = frozenset()
        self.look_again: Callable[[], None] = lambda: None
        wanted.marks = lambda: Marks(held=self._held)

    async def before(self, existing: Sequence[Body]) -> None:
        """Find out which of the devices that are to go are allocated. Raises `ApiError`.

        Without the right to list claims all of them count as allocated: they stay, tainted.
        """
        published = {
            (body["spec"]["pool"]["name"], device["name"])
            for body in existing
            for device in body["spec"].get("devices") or []
        }
        going = (published | self._held) - set(self._wanted.devices)
        if not going:
            self._held = frozenset()
            return
        try:
            self._held = frozenset({key async for key in self._allocated()} & going)
        except ApiError as err:
            if err.patience:
                raise
            _log.warning(
                "devices that are gone stay, for claims cannot be listed", extra={"why": str(err)}
            )
            self._held = frozenset(going)

    async def watch(self) -> None:
        """Have the publisher look again while something waits for claims to end. Until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            if self._held:
                self.look_again()

    async def _allocated(self) -> Any:
        query = {"limit": str(_PAGE)}
        while True:
            content = await self._client.get(_CLAIMS, query)
            try:
                page = msgspec.json.decode(content, type=_List)
            except (msgspec.MsgspecError, UnicodeDecodeError) as err:
                raise ApiError(f"API LIST claims: cannot be read: {err}") from err
            for claim in page.items or []:
                for result in _results(claim):
                    if result.driver == self._driver:
                        yield result.pool, result.device
            if not page.metadata.next:
                return
            query["continue"] = page.metadata.next


def _results(claim: _Claim) -> Iterator[_Result]:
    if claim.status and claim.status.allocation and claim.status.allocation.devices:
        yield from claim.status.allocation.devices.results or []
