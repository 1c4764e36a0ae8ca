"""Calls a driver's `discover` at start, on an interval and when the driver asks; the publisher gets the result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pydra_core._api.publisher import Publisher
from pydra_core._values import Inventory
from pydra_core.driver import Driver
from pydra_core.errors import HostError, PydraError

_DEADLINE = 120.0
"""Seconds a discovery may take; a vendor library that hangs must be seen, not waited for."""


class Discovery:
    """Keeps the publisher told of what is there."""

    def __init__(self, driver: Driver, publisher: Publisher, interval: float) -> None:
        self.interval = interval
        self.problem = ""
        self._driver = driver
        self._publisher = publisher
        self._wake = asyncio.Event()
        self.on_found: Callable[[Inventory], None] = lambda _: None
        driver.on_rediscover(self._wake.set)

    async def run(self) -> None:
        """Discover until cancelled; an error is shown by the probe until a discovery succeeds."""
        while True:
            self._wake.clear()
            try:
                inventory = await self._discover()
                self._publisher.want(inventory)
                self.on_found(inventory)
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

    async def _discover(self) -> Inventory:
        try:
            async with asyncio.timeout(_DEADLINE):
                return await self._driver.discover()
        except TimeoutError as err:
            raise HostError(
                f"driver {self._driver.name}: discover has not finished within {_DEADLINE:.0f} seconds; look at the"
                " vendor's library and the kernel log"
            ) from err
