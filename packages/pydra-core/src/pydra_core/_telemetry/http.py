"""`/healthz`, `/readyz` and `/metrics` for the kubelet's probes and Prometheus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from pydra_core._telemetry.metrics import Metrics
from pydra_core.errors import ConfigError


@asynccontextmanager
async def serve(address: str, metrics: Metrics, not_ready: Callable[[], str]) -> AsyncIterator[str]:
    """Serve the endpoints at `host:port` while the block runs; yields the address really bound.

    `not_ready` returns why the driver is not ready, or an empty string. Liveness is the event loop answering.
    """

    async def readyz(_: web.Request) -> web.Response:
        why = not_ready()
        return web.Response(
            text=f"not ready: {why}\n" if why else "ok\n", status=503 if why else 200
        )

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def expose(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", expose)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        host, _, port = address.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as err:
            raise ConfigError(
                f"setting http_address: {address}: cannot be bound: {err.strerror}; choose another",
                key="http_address",
                source=address,
            ) from err
        bound = runner.addresses[0]
        yield f"{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()
