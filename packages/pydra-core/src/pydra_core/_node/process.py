"""The life of a driver process: recover, serve, publish, and stop without losing a call.

Order matters: the DRA socket answers before the registration socket exists, because the kubelet dials the one
it is told of at once; and at the end the registration goes first, so that no new call arrives while those in
flight finish. Slices stay: a quick restart keeps its node in service.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import grpc

from pydra_core._api import access
from pydra_core._api.claims import Claims
from pydra_core._api.client import KubeClient
from pydra_core._api.publisher import Publisher
from pydra_core._api.rules import is_driver_name
from pydra_core._node.prepare import ClaimPath
from pydra_core._node.recovery import recover
from pydra_core._node.registration import Registration
from pydra_core._node.service import DraService
from pydra_core._node.sockets import locate, remove_stale
from pydra_core._state.journal import Journal
from pydra_core._state.spec_files import SpecFiles
from pydra_core._telemetry.metrics import Metrics
from pydra_core.driver import Driver
from pydra_core.errors import ConfigError, PydraError
from pydra_core.settings import Settings

_log = logging.getLogger(__name__)
_LONGEST_PAUSE = 60.0


async def serve(driver: Driver, settings: Settings, environ: Mapping[str, str]) -> None:
    """Serve `driver` until SIGTERM or SIGINT.

    Raises:
        ConfigError: a setting is missing or unusable, or another driver of this name is running.
        HostError: the journal can be neither rewritten nor synced.
    """
    _check(driver, settings)
    sockets, metrics = locate(settings, driver.name), Metrics(driver.name)
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(_stop_signals())
        client = KubeClient(access.find(settings.kubeconfig, environ))
        stack.push_async_callback(client.close)
        claims = await _claim_path(stack, driver, settings, client, metrics)
        registration = Registration(driver.name, sockets.endpoint, metrics)
        handlers = DraService(claims, metrics).handlers()
        await stack.enter_async_context(_server(sockets.service, handlers, settings.drain_timeout))
        await stack.enter_async_context(registration.serve(sockets.registration))
        publisher = Publisher(client, driver.name, settings.node_name, registration, metrics)
        if settings.http_address:
            from pydra_core._telemetry import http  # noqa: PLC0415 (2 MB that a driver without probes need not hold)

            probe = http.serve(
                settings.http_address, metrics, lambda: registration.refusal or publisher.problem
            )
            _log.info("probes served", extra={"address": await stack.enter_async_context(probe)})
        discovery = _Discovery(driver, publisher, settings.discover_interval)
        async with _background(metrics, publisher.run, discovery.run):
            _log.info(
                "serving",
                extra={
                    "driver": driver.name,
                    "node": settings.node_name,
                    "socket": sockets.service,
                },
            )
            await stop.wait()
        _log.info("stopping", extra={"driver": driver.name})
    _log.info("stopped", extra={"driver": driver.name})


async def _claim_path(
    stack: AsyncExitStack, driver: Driver, settings: Settings, client: KubeClient, metrics: Metrics
) -> ClaimPath:
    """Open the journal, bring disk and journal together, and build the claim path on them."""
    journal = Journal(locate(settings, driver.name).data_dir / "journal")
    stack.push_async_callback(journal.close)
    specs = SpecFiles(settings.cdi_dir, driver.name)
    claims = ClaimPath(driver, Claims(client, driver.name, driver.config), journal, specs, metrics)
    stack.push_async_callback(claims.settle, settings.drain_timeout)
    await recover(claims, journal.ledger, specs)
    metrics.prepared.set(len(journal.ledger.all_prepared()))
    return claims


def _check(driver: Driver, settings: Settings) -> None:
    if not settings.node_name:
        raise ConfigError(
            "setting node_name: is missing; set NODE_NAME from the downward API (spec.nodeName)",
            key="node_name",
            source="environment",
        )
    if not is_driver_name(driver.name):
        raise ConfigError(
            f"driver name {driver.name!r}: must be a lower-case DNS subdomain of at most 63 characters",
            key="name",
            source=type(driver).__qualname__,
        )


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event set by the first SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _server(
    path: Path, handlers: Sequence[grpc.GenericRpcHandler], grace: float
) -> AsyncIterator[None]:
    """Serve handlers on a Unix socket; at the end the socket goes first, then calls in flight finish."""
    remove_stale(path)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(handlers)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # noqa: ASYNC240 (one unlink of a local socket)
        await server.stop(grace)


@asynccontextmanager
async def _background(
    metrics: Metrics, *jobs: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Run jobs beside the block and cancel them after it."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(_keep_running(job, metrics)) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_running(job: Callable[[], Awaitable[None]], metrics: Metrics) -> None:
    """The boundary of a background task: an error is logged with its trace and the job starts again.

    The pause doubles up to a minute while the job keeps failing, and is short again once it ran for a minute.
    """
    delay = 1.0
    while True:
        started = time.monotonic()
        try:
            await job()
        except Exception as err:  # noqa: BLE001 (the boundary of a background task)
            reason = err.reason if isinstance(err, PydraError) else "Unexpected"
            metrics.background_error(reason)
            _log.exception(
                "background job failed and starts again", extra={"reason": reason, "seconds": delay}
            )
        await asyncio.sleep(delay)
        delay = (
            1.0 if time.monotonic() - started > _LONGEST_PAUSE else min(delay * 2, _LONGEST_PAUSE)
        )


class _Discovery:
    """Calls `discover` at start, on an interval and when the driver asks."""

    def __init__(self, driver: Driver, publisher: Publisher, interval: float) -> None:
        self._driver = driver
        self._publisher = publisher
        self._interval = interval
        self._wake = asyncio.Event()
        driver.on_rediscover(self._wake.set)

    async def run(self) -> None:
        while True:
            self._wake.clear()
            self._publisher.want(await self._driver.discover())
            try:
                async with asyncio.timeout(self._interval):
                    await self._wake.wait()
            except TimeoutError:
                continue
