"""Probes and metrics over HTTP, for the processes that want them (`http_address`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack

from pydra_core._telemetry.metrics import Metrics
from pydra_core.settings import Settings

_log = logging.getLogger(__name__)


async def serve_probes(
    stack: AsyncExitStack, settings: Settings, metrics: Metrics, problem: Callable[[], str]
) -> None:
    """Serve them until the stack closes. `problem` is why the process is not ready, asked anew by each probe.

    Raises:
        ConfigError: the address cannot be bound.
    """
    if settings.http_address:
        from pydra_core._telemetry import http  # noqa: PLC0415 (2 MB that a driver without probes need not hold)

        probe = http.serve(settings.http_address, metrics, problem)
        _log.info("probes served", extra={"address": await stack.enter_async_context(probe)})
