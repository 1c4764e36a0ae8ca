"""The life of a process that publishes the pools of the cluster: it needs no node, no kubelet and no hardware.

Several may run; the one that holds the lease writes, the others know what they would write and wait. Slices stay at
the end, as a node's do. They have no owner: a cluster-scoped object cannot have one in a namespace, the collector
would take it for gone and delete them.
"""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial

from pydra_core._api import access
from pydra_core._api.client import KubeClient
from pydra_core._api.holders import Holders
from pydra_core._api.lease import Lease
from pydra_core._api.publisher import Publisher
from pydra_core._api.rules import is_driver_name
from pydra_core._node.discovery import Discovery
from pydra_core._node.lifecycle import Stop, background, signals
from pydra_core._node.probes import serve_probes
from pydra_core._node.reloading import Reloading
from pydra_core._shield.guard import worker_only
from pydra_core._telemetry.metrics import Metrics
from pydra_core.driver import Driver
from pydra_core.errors import ConfigError
from pydra_core.settings import Settings

_log = logging.getLogger(__name__)


async def publish(
    driver: Driver,
    settings: Settings,
    environ: Mapping[str, str],
    read_settings: Callable[[], Settings],
) -> None:
    """Publish what `driver.cluster_pools` returns until SIGTERM or SIGINT.

    Args:
        driver: whose pools.
        settings: as they are at the start.
        environ: where API access is described.
        read_settings: reads them again on SIGHUP.

    Raises:
        ConfigError: the driver has no such pools, or a setting is missing or unusable.
    """
    _check(driver)
    stop, metrics = Stop(settings.drain_timeout), Metrics(driver.name)
    async with AsyncExitStack() as stack:
        stack.enter_context(worker_only())
        stack.push_async_callback(driver.sdk.close)
        driver.sdk.observe(metrics.vendor)
        reloading = Reloading(settings, read_settings, stop)
        stack.enter_context(signals(stop.ask, reloading.reload))
        client = KubeClient(access.find(settings.kubeconfig, environ))
        stack.push_async_callback(client.close)
        lease = _lease(driver, settings, client)
        stack.push_async_callback(lease.release)
        publisher = Publisher(client, driver.name, "", lease, metrics)
        publisher.leads = lease.holds
        metrics.serve_cluster(lease.holds)
        holders = Holders(client, driver.name, publisher.wanted)
        publisher.before, holders.look_again = holders.before, publisher.look_again
        discovery = reloading.discovery = Discovery(
            driver, driver.cluster_pools, publisher, settings.discover_interval
        )
        problem = partial(_problem, lease, discovery, publisher)
        await serve_probes(stack, settings, metrics, problem)
        jobs = (publisher.run, discovery.run, publisher.follow_lead, holders.watch)
        async with background(metrics, lease.run), background(metrics, *jobs):
            _log.info("serving", extra={"driver": driver.name})
            await stop.wait()
        _log.info("stopping", extra={"driver": driver.name})
    _log.info("stopped", extra={"driver": driver.name})


def _lease(driver: Driver, settings: Settings, client: KubeClient) -> Lease:
    me = f"{socket.gethostname()}_{secrets.token_hex(8)}"
    namespace = settings.lease_namespace or access.own_namespace()
    return Lease(client, namespace, f"{driver.name}-publish", me, settings.lease_duration)


def _problem(lease: Lease, discovery: Discovery, publisher: Publisher) -> str:
    """Why it is not ready; whoever waits for the lease is, or a rollout would wait for it."""
    return discovery.problem or lease.problem or (publisher.problem if lease.holds() else "")


def _check(driver: Driver) -> None:
    where = type(driver).__qualname__
    if not is_driver_name(driver.name):
        raise ConfigError(
            f"driver name {driver.name!r}: must be a lower-case DNS subdomain of at most 63 characters",
            key="name",
            source=where,
        )
    if not driver.has_cluster_pools:
        raise ConfigError(
            f"driver {driver.name}: has no pools that belong to no node, so there is nothing to publish here;"
            " `run` publishes those of a node",
            key="cluster_pools",
            source=where,
        )
