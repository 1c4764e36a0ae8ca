"""The testbed's own process: a cluster with its drivers, until a signal ends it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydra_core.errors import ConfigError
from pydra_testbed.api import write_kubeconfig
from pydra_testbed.clock import rfc3339
from pydra_testbed.cluster import Node, Testbed, TestbedSettings, start
from pydra_testbed.driver_process import DriverProcess, published, run_driver
from pydra_testbed.manifests import Manifest, apply
from pydra_testbed.testbed.place import NodeState, Place, State, is_ours


@dataclass(frozen=True, slots=True)
class Wish:
    """What to serve: a cluster, a driver's command for each node (empty: none), objects to apply."""

    settings: TestbedSettings
    driver: Sequence[str]
    manifests: Sequence[Manifest]
    kubeconfig: Path


async def serve(wish: Wish, place: Place, ready: Callable[[State], None]) -> None:
    """Be the testbed of `place` until SIGINT, SIGTERM or SIGHUP; calls `ready` once drivers have published.

    Raises:
        RunsAlreadyError: there is one.
        ConfigError: the kubeconfig's path holds another cluster's, the port is taken.
        DriverDiedError: a driver ended before it served.
        ManifestError: a manifest was refused.
    """
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    with place.taken():
        check_kubeconfig(wish.kubeconfig)
        async with AsyncExitStack() as stack:
            testbed = await _started(stack, wish.settings)
            drivers = {
                node.name: await stack.enter_async_context(run_driver(testbed, node, wish.driver))
                for node in testbed.nodes
                if wish.driver
            }
            if await _unless(asked, _prepare(testbed, drivers, wish.manifests)):
                ready(_announce(place, wish, testbed, drivers))
                await asked.wait()


async def _unless(asked: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Whether `work` ended before the stop was asked for; its error comes out."""
    stopping, working = asyncio.ensure_future(asked.wait()), asyncio.ensure_future(work)
    try:
        await asyncio.wait((stopping, working), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done()
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.gather(stopping, working, return_exceptions=True)


def check_kubeconfig(path: Path) -> None:
    """Raises `ConfigError` rather than overwrite a kubeconfig that is no testbed's."""
    if path.exists() and not is_ours(path):
        raise ConfigError(
            f"testbed: {path} is there and no testbed's kubeconfig; name another file",
            key="kubeconfig",
            source="flag",
        )


async def _started(stack: AsyncExitStack, settings: TestbedSettings) -> Testbed:
    try:
        return await stack.enter_async_context(start(settings))
    except OSError as err:
        raise ConfigError(
            f"testbed: cannot start: {err}; choose another --port or TMPDIR",
            key="port",
            source="flag",
        ) from err


async def _prepare(
    testbed: Testbed, drivers: dict[str, DriverProcess], manifests: Sequence[Manifest]
) -> None:
    """Return when every node is there, every driver has published and every object is applied."""
    await _nodes_ready(testbed)
    for node in testbed.nodes:
        if node.name in drivers:
            await published(testbed, node, drivers[node.name])
    for manifest in manifests:
        await apply(testbed.api, manifest, testbed.server.resource_of)


async def _nodes_ready(testbed: Testbed) -> None:
    missing = {node.name for node in testbed.nodes}
    async for event in testbed.api.watch("nodes"):
        conditions = event.object.get("status", {}).get("conditions", [])
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            missing.discard(event.object["metadata"]["name"])
        if not missing:
            return


def _announce(
    place: Place, wish: Wish, testbed: Testbed, drivers: dict[str, DriverProcess]
) -> State:
    nodes = tuple(_node(node, drivers.get(node.name)) for node in testbed.nodes)
    state = State(
        os.getpid(),
        testbed.url,
        str(testbed.root),
        str(wish.kubeconfig),
        rfc3339(testbed.clock.now()),
        nodes,
    )
    place.write(state)
    write_kubeconfig(wish.kubeconfig, testbed.url)
    return state


def _node(node: Node, driver: DriverProcess | None) -> NodeState:
    folders = str(node.kubelet_root), str(node.cdi_dir)
    if driver is None:
        return NodeState(node.name, *folders)
    return NodeState(node.name, *folders, driver.process.pid, str(driver.log))
