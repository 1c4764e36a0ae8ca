"""The embedded Kubernetes API server: one process, one event loop, everything in memory.

`ApiServer` is what `pydra_testbed.cluster`, `pydra demo` and boundary tests start. Drivers and kubectl come
over HTTP, the testbed's own components through `local`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from pydra_testbed.api._auth import ALWAYS_ALLOW, Authority, Authorization
from pydra_testbed.api._auth_bootstrap import add_roles
from pydra_testbed.api._auth_tokens import ADMIN, Tokens
from pydra_testbed.api._context import DEFAULT_GATES, CelCheck, no_cel_check
from pydra_testbed.api._core import Core, Options, Target
from pydra_testbed.api._creates import create
from pydra_testbed.api._custom.definitions import Definitions
from pydra_testbed.api._http import HttpFront
from pydra_testbed.api._kinds import Catalog, Kind
from pydra_testbed.api._served import built_in
from pydra_testbed.api.faults import Faults
from pydra_testbed.api.local import LocalApi
from pydra_testbed.api.logs import LogSource, NoLogs
from pydra_testbed.clock import Clock

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_TICK_SECONDS = 1.0
_SHUTDOWN_SECONDS = 1.0


class ApiServer:
    """An API server and its objects, which outlive any listening.

    `cel_check` compiles device selectors (none: every expression passes), `token` is the one bearer token that is
    accepted (none: everybody is), `logs` serves pod logs, `gates` overrides feature gates of Kubernetes 1.36,
    `resource_versions` are the versions of resource.k8s.io that are served, v1 among them. With `authorization`
    by roles, every request needs a token of `tokens` and a role that allows it; `local` stays unrestricted.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        cel_check: CelCheck = no_cel_check,
        token: str | None = None,
        logs: LogSource | None = None,
        gates: Mapping[str, bool] = DEFAULT_GATES,
        resource_versions: Iterable[str] = ("v1",),
        authorization: Authorization = ALWAYS_ALLOW,
    ) -> None:
        self._clock = clock
        self._core = Core(clock, Catalog(_kinds(resource_versions, gates)), cel_check, gates)
        self._definitions = Definitions(self._core)
        self.tokens = Tokens(clock)
        self.token = token
        if token is not None:
            self.tokens.add(ADMIN, token)
            authorization = replace(authorization, without_token=None)
        self._authority = Authority(self._core, self.tokens, authorization)
        self.faults = Faults(self._core.store.wake, self._core.dropping)
        self.local = LocalApi(self._core, self.faults)
        self._logs = logs or NoLogs()
        self._make_namespaces()
        if authorization.by_roles:
            add_roles(self._core)

    @asynccontextmanager
    async def listen(self, *, port: int = 0, socket: Path | None = None) -> AsyncIterator[str]:
        """Serve on 127.0.0.1 (port 0: a free one) or a unix socket, until the block is left.

        Yields the server's URL (`http://127.0.0.1:PORT`, or `unix:PATH`). Raises `OSError` when the address is
        taken. Running watches end when the block is left.
        """
        front = HttpFront(self._core, self.faults, self._authority, self._logs)
        runner = web.ServerRunner(
            front.server(), handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await runner.setup()
        ticking = asyncio.create_task(self._tick())
        try:
            yield await _start(runner, port, socket)
        finally:
            front.closing.append(True)
            self._core.store.wake()
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            await runner.cleanup()

    async def _tick(self) -> None:
        """Let watches look at the clock now and then: they have deadlines and bookmarks."""
        while True:
            await self._clock.sleep(_TICK_SECONDS)
            self._core.store.wake()

    def resource_of(self, api_version: str, kind: str) -> str | None:
        """The plural name under which `Api` knows a manifest's kind; None if this server does not serve it."""
        found = next(
            (k for k in self._core.catalog.kinds if (k.api_version, k.kind) == (api_version, kind)),
            None,
        )
        if found is None:
            return None
        return f"{found.plural}.{found.group}" if found.group else found.plural

    def forget_changes(self, resource: str) -> None:
        """Empty a resource's replay window, so that watches from before are answered 410 Expired."""
        self._core.forget_changes(resource)

    def _make_namespaces(self) -> None:
        kind = self._core.catalog.named("namespaces")
        if kind is None:
            return
        for name in NAMESPACES:
            create(self._core, Target(kind), {"metadata": {"name": name}}, Options())


def _kinds(versions: Iterable[str], gates: Mapping[str, bool]) -> list[Kind]:
    """Without their gate there are no taint rules, whatever versions are served."""
    ruled = gates.get("DRADeviceTaintRules", False)
    return [kind for kind in built_in(versions) if ruled or kind.kind != "DeviceTaintRule"]


async def _start(runner: web.ServerRunner, port: int, socket: Path | None) -> str:
    if socket is not None:
        await web.UnixSite(runner, str(socket)).start()
        return f"unix:{socket}"
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    host, chosen = runner.addresses[0][:2]
    return f"http://{host}:{chosen}"
