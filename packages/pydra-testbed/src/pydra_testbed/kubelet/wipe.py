"""Deleting the node's ResourceSlices when no driver stands behind them.

At start all slices of the node go, because no driver has registered yet and pods must not be sent
here; later a driver's slices go `wipe_delay` after its last connection was lost, unless it returns
(kubelet 1.36, DRA registration handler). Drivers publish again when they notice.
"""

from __future__ import annotations

import asyncio
import logging
import random

from pydra_testbed.clock import Clock
from pydra_testbed.objects import Api, ApiStatusError, Selection

_log = logging.getLogger(__name__)

_FIRST_RETRY = 1.0
_RETRY_FACTOR = 2.0
_RETRY_JITTER = 0.2
_RETRY_CAP = 300.0


class SliceWiper:
    """Deletes slices by `spec.nodeName`; hears from `DriverRegistry` which drivers are usable."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        api: Api,
        clock: Clock,
        node: str,
        delay: float,
        rng: random.Random,
    ) -> None:
        self._tasks = tasks
        self._api = api
        self._clock = clock
        self._node = node
        self._delay = delay
        self._rng = rng
        self._timers: dict[str, asyncio.Task[None]] = {}

    def usable(self, driver: str) -> None:
        """Call off a pending wipe."""
        timer = self._timers.pop(driver, None)
        if timer is not None:
            timer.cancel()

    def unusable(self, driver: str) -> None:
        """Start the driver's timer; one that runs already keeps its time."""
        timer = self._timers.get(driver)
        if timer is None or timer.done():
            self._timers[driver] = self._tasks.create_task(self._wipe_later(driver))

    async def wipe(self, driver: str = "") -> None:
        """Delete the node's slices, of one driver or of all, until the API server confirms it."""
        selector = f"spec.nodeName={self._node}"
        if driver:
            selector += f",spec.driver={driver}"
        pause = _FIRST_RETRY
        while not await self._delete(selector):
            await self._clock.sleep(pause * (1 + _RETRY_JITTER * self._rng.random()))
            pause = min(pause * _RETRY_FACTOR, _RETRY_CAP)
        _log.info("slices wiped", extra={"node": self._node, "driver": driver or "all"})

    async def _wipe_later(self, driver: str) -> None:
        await self._clock.sleep(self._delay)
        await self.wipe(driver)

    async def _delete(self, selector: str) -> bool:
        try:
            await self._api.get("nodes", self._node)
            await self._api.delete_collection("resourceslices", Selection(field_selector=selector))
        except ApiStatusError as error:
            _log.warning("slices not wiped, trying again", extra={"error": error.message})
            return False
        return True
