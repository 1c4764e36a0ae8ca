"""Following one driver instance's stream of health reports, and opening it again for ever.

Run by `DriverRegistry` for each registered instance. The kubelet does not look at what a driver advertises: a
driver without the service answers Unimplemented, every five seconds.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from pydra_testbed.clock import Clock
from pydra_testbed.kubelet.health import HealthCache
from pydra_testbed.kubelet.instance import DriverInstance
from pydra_testbed.kubelet.rpc import RpcError
from pydra_testbed.kubelet.settings import KubeletSettings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HealthStreams:
    """What all streams of one kubelet share."""

    cache: HealthCache
    clock: Clock
    settings: KubeletSettings

    async def follow(self, instance: DriverInstance) -> None:
        """Take in reports until cancelled; without a stream nothing is known of the driver's devices."""
        while True:
            try:
                async for response in instance.health_reports():
                    self.cache.report(instance.driver, response)
                _log.info("health stream ended", extra={"driver": instance.driver})
            except RpcError as error:
                extra = {"driver": instance.driver, "error": str(error)}
                _log.info("health stream not open", extra=extra)
            self.cache.clear(instance.driver)
            await self.clock.sleep(self.settings.health_retry)
