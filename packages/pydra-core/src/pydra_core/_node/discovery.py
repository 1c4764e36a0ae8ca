"""Calls a driver's `discover`, or `cluster_pools`, at start, on an interval and when the driver asks; the publisher gets the result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from pydra_core._api.publisher import Publisher
from pydra_core._node.lifecycle import is_cancelled
from pydra_core._values import Pool
from pydra_core.driver import Driver
from pydra_core.errors import DriverFailedError, HostError, PydraError

_DEADLINE = 120.0
"""Seconds a discovery may take; a vendor library that hangs must be seen, not waited for."""


class Discovery:
    """Keeps the publisher told of what is there."""

    def __init__(
        self,
        driver: Driver,
        look: Callable[[], Awaitable[Sequence[Pool]]],
        publisher: Publisher,
        interval: float,
    ) -> None:
        """Begin.

        Args:
            driver: who may ask for a fresh look.
            look: what tells which pools there are, by the names the API knows them by.
            publisher: who is told.
            interval: seconds between two looks.
        """
        self.interval = interval
        self._look = look
        self.problem = ""
        self._driver = driver
        self._publisher = publisher
        self._wake = asyncio.Event()
        self.on_found: Callable[[], None] = lambda: None
        driver.on_rediscover(self._wake.set)

    async def run(self) -> None:
        """Discover until cancelled; an error is shown by the probe until a discovery succeeds."""
        while True:
            self._wake.clear()
            try:
                await self._once()
            except Exception as err:
                cause = str(err) if isinstance(err, PydraError) else f"{type(err).__name__}: {err}"
                self.problem = f"driver {self._driver.name}: discover failed: {cause}"
                raise
            self.problem = ""
            try:
                async with asyncio.timeout(self.interval):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _once(self) -> None:
        pools = await self._discover()
        try:
            self._publisher.want(pools)
        finally:  # of several pools, those without faults are published
            self.on_found()

    async def _discover(self) -> Sequence[Pool]:
        try:
            async with asyncio.timeout(_DEADLINE) as limit:
                return await self._look()
        except TimeoutError as err:
            if not limit.expired():  # the driver's own
                raise
            raise HostError(
                f"driver {self._driver.name}: discover has not finished within {_DEADLINE:.0f} seconds; look at the"
                " vendor's library and the kernel log"
            ) from err
        except (asyncio.CancelledError, SystemExit) as err:
            if is_cancelled():
                raise
            raise DriverFailedError(
                f"driver {self._driver.name}: discover ended with {type(err).__name__} in its own code (a bug of the"
                " driver); the log has the trace"
            ) from err
