"""The life of a driver process: recover, serve, publish, and stop without losing a call.

Order matters: the DRA socket answers before the registration socket exists, because the kubelet dials the one
it is told of at once; and at the end the registration goes first, so that no new call arrives while those in
flight finish. Slices stay: a quick restart keeps its node in service.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc

from pydra_core._api import access
from pydra_core._api.claims import Claims
from pydra_core._api.client import KubeClient
from pydra_core._api.pools import local_pools
from pydra_core._api.publisher import Publisher
from pydra_core._api.rules import is_driver_name
from pydra_core._legacy.dual import Dual, Parts
from pydra_core._legacy.mode import Wish, wish_of
from pydra_core._node.discovery import Discovery
from pydra_core._node.entries import noted
from pydra_core._node.health.care import Care
from pydra_core._node.lifecycle import Stop, background, signals
from pydra_core._node.prepare import ClaimPath
from pydra_core._node.probes import serve_probes
from pydra_core._node.recovery import Recovery
from pydra_core._node.registration import Registration
from pydra_core._node.reloading import Reloading
from pydra_core._node.service import DraService
from pydra_core._node.sockets import bind, locate, remove_dead, remove_stale
from pydra_core._shield.guard import worker_only
from pydra_core._state.instances import ALONE, Instances, read_boot_id
from pydra_core._state.journal import Journal
from pydra_core._state.ledger import Ledger
from pydra_core._state.spec_files import SpecFiles
from pydra_core._telemetry.metrics import Metrics
from pydra_core._values import Claim, Pool, PreparedClaim, PreparedDevice
from pydra_core.driver import Driver
from pydra_core.errors import ConfigError
from pydra_core.settings import Settings

_log = logging.getLogger(__name__)


async def serve(
    driver: Driver,
    settings: Settings,
    environ: Mapping[str, str],
    read_settings: Callable[[], Settings] | None = None,
) -> None:
    """Serve `driver` until SIGTERM or SIGINT.

    Args:
        driver: what to serve.
        settings: as they are at the start.
        environ: where API access is described.
        read_settings: reads them again on SIGHUP.

    Raises:
        ConfigError: a setting is missing or unusable, or another driver of this name is running.
        HostError: the journal can be neither rewritten nor synced.
    """
    _check(driver, settings)
    wish = wish_of(settings, type(driver))
    stop, metrics = Stop(settings.drain_timeout), Metrics(driver.name)
    async with AsyncExitStack() as stack:
        stack.enter_context(worker_only())
        stack.push_async_callback(driver.sdk.close)
        driver.sdk.observe(metrics.vendor)
        metrics.add_own(driver)
        reloading = Reloading(settings, read_settings or (lambda: settings), stop)
        stack.enter_context(signals(stop.ask, reloading.reload))
        client = KubeClient(access.find(settings.kubeconfig, environ))
        stack.push_async_callback(client.close)
        await _serve(stack, driver, settings, wish, client, metrics, reloading)
        _log.info("stopping", extra={"driver": driver.name})
    _log.info("stopped", extra={"driver": driver.name})


async def _serve(
    stack: AsyncExitStack,
    driver: Driver,
    settings: Settings,
    wish: Wish,
    client: KubeClient,
    metrics: Metrics,
    reloading: Reloading,
) -> None:
    sockets, stop = locate(settings, driver.name), reloading.stop
    node = await _claim_path(stack, driver, settings, client, metrics, stop)
    registration = Registration(driver.name, sockets.endpoint, metrics)
    care = Care(driver, settings.node_name, node.ledger, client, metrics, sockets.data_dir)
    node.claims.check, node.claims.released = care.check, care.released
    known = (node.claims, node.journal, node.instances, care)
    dual = Dual(wish, Parts(driver, settings, client, registration, *known), lambda: stop.left)
    handlers = (*DraService(node.claims, metrics).handlers(), *care.handlers())
    await stack.enter_async_context(dra_server(sockets.service, handlers, stop))
    stack.callback(care.stream.stop)
    await stack.enter_async_context(registration.serve(sockets.registration))
    publisher = _publisher(driver, settings, client, registration, node, care, dual)
    discovery = reloading.discovery = Discovery(
        driver, partial(_look, driver, settings, dual), publisher, settings.discover_interval
    )
    discovery.on_found = lambda: care.found(publisher.wanted.devices)
    problem = partial(_problem, registration, discovery, publisher, dual)
    await serve_probes(stack, settings, metrics, problem)
    for path in remove_dead(settings, driver.name):
        _log.warning("socket of a dead instance removed", extra={"socket": path})
    jobs = (publisher.run, discovery.run, node.recovery.watch, publisher.follow_lead)
    async with background(metrics, *jobs, *care.jobs(), *dual.jobs()):
        details = {"driver": driver.name, "node": settings.node_name, "socket": sockets.service}
        _log.info("serving", extra=details)
        gc.freeze()  # what is loaded stays: else going through it takes as long as many calls, now and then
        await stop.wait()


async def _look(driver: Driver, settings: Settings, dual: Dual) -> Sequence[Pool]:
    inventory = await driver.discover()
    dual.found(inventory)
    await dual.look_first()
    return local_pools(inventory, settings.node_name)


def _problem(
    registration: Registration, discovery: Discovery, publisher: Publisher, dual: Dual
) -> str:
    """Why the process is not ready."""
    if not dual.dra_matters:
        return discovery.problem or dual.problem
    return registration.refusal or discovery.problem or publisher.problem or dual.problem


def _publisher(
    driver: Driver,
    settings: Settings,
    client: KubeClient,
    registration: Registration,
    node: _Node,
    care: Care,
    dual: Dual,
) -> Publisher:
    publisher = Publisher(
        client,
        driver.name,
        settings.node_name,
        registration,
        care.metrics,
        may_taint=driver.watches_health or driver.serves_resources,
    )
    publisher.wanted.marks, dual.look_again = dual.marks, publisher.look_again

    def look_again() -> None:
        publisher.look_again()
        dual.health_changed()

    care.look_again = look_again
    publisher.leads, care.leads = lambda: not node.instances.superseded, dual.leads
    publisher.on_wiped = registration.doubt
    publisher.on_trouble = care.warn
    return publisher


@dataclass(frozen=True, slots=True)
class _Node:
    """What of the claim path the rest of the process must know."""

    claims: ClaimPath
    recovery: Recovery
    instances: Instances
    journal: Journal

    def ledger(self) -> Ledger:
        """What is in whose hands now."""
        return self.journal.ledger


async def _claim_path(
    stack: AsyncExitStack,
    driver: Driver,
    settings: Settings,
    client: KubeClient,
    metrics: Metrics,
    stop: Stop,
) -> _Node:
    """Open the journal, join the instances, make disk and journal agree, and build the claim path on them."""
    journal = Journal(locate(settings, driver.name).data_dir / "journal")
    stack.push_async_callback(journal.close)

    async def held() -> tuple[PreparedClaim, ...]:
        await journal.refresh()
        return journal.ledger.held()

    driver.on_held(held)
    instances = Instances(
        journal.locks, settings.pod_uid or ALONE, read_boot_id(settings.boot_id_file)
    )

    async def note(claim: Claim, device: PreparedDevice) -> None:
        await journal.transact(noted(claim, device, instances.me), durable=True)

    driver.on_note(note)
    specs = SpecFiles(settings.cdi_dir, driver.name, settings.node_name)
    known = Claims(client, driver.name, driver.config)
    claims = ClaimPath(driver, known, journal, instances, specs, metrics)
    stack.push_async_callback(lambda: claims.settle(stop.until))
    recovery = Recovery(claims, journal, instances, specs)
    await recovery.start(settings.node_name)
    metrics.prepared.set(len(journal.ledger.all_prepared()))
    return _Node(claims, recovery, instances, journal)


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


@asynccontextmanager
async def dra_server(
    path: Path, handlers: Sequence[grpc.GenericRpcHandler], stop: Stop
) -> AsyncIterator[None]:
    """Serve handlers on a Unix socket; at the end the socket goes first, then calls in flight finish."""
    remove_stale(path)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(handlers)
    bind(server, path)
    await server.start()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # noqa: ASYNC240 (one unlink of a local socket)
        await server.stop(stop.left)
