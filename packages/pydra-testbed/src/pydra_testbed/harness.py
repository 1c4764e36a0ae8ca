"""A testbed in the hands of a test: drivers, manifests, waiting, faults and time in one place.

The pytest plugin's fixture `testbed` is one. Everything here is also possible with `cluster.start` alone; this holds
what each test of a driver would write again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydra_core.errors import ConfigError, PydraError
from pydra_testbed.api import ApiServer
from pydra_testbed.clock import ManualClock
from pydra_testbed.cluster import Node, Testbed, TestbedSettings, start
from pydra_testbed.driver_process import DriverProcess, offered, published, run_driver
from pydra_testbed.kubelet import DriverCall
from pydra_testbed.manifests import Manifest, apply, read, read_folder
from pydra_testbed.nodes import KubeletService
from pydra_testbed.objects import Api, KubeObject, ObjectRef, Selection, key_of, uid_of

T = TypeVar("T")
_PATIENCE = 30.0
_STEP = 0.05


class StillWaitingError(PydraError):
    """What a test waited for did not come; names it and what was there instead."""

    reason = "StillWaiting"


@dataclass(slots=True)
class Harness:
    """A running testbed for one test. `calls` are the finished gRPC calls to drivers, oldest first.

    Where a method takes a node, a name will do and the first node is meant without one. Waiting ends after
    `patience` seconds with `StillWaitingError`; a manual clock goes along with real time while something is waited
    for, and stands still otherwise.
    """

    cluster: Testbed
    patience: float = _PATIENCE
    calls: list[DriverCall] = field(default_factory=list)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _called: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def api(self) -> Api:
        """The API server in process, as `pydra_testbed.objects.Api`."""
        return self.cluster.api

    @property
    def server(self) -> ApiServer:
        """The API server itself: `faults`, `forget_changes`."""
        return self.cluster.server

    @property
    def kubeconfig(self) -> Path:
        """For clients of your own."""
        return self.cluster.kubeconfig

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes' folders by name."""
        return {node.name: node for node in self.cluster.nodes}

    @property
    def kubelets(self) -> Mapping[str, KubeletService]:
        """The nodes' kubelets by name, to stop, start and restart."""
        return self.cluster.kubelets

    async def driver(
        self,
        command: Sequence[str],
        node: str = "",
        environ: Mapping[str, str] | None = None,
        *,
        account: str = "",
    ) -> DriverProcess:
        """Start a driver and return once it is registered and the node's devices are published.

        It is stopped after the test. `environ` adds environment variables to those with which a driver serves on the node.
        With `account` (`namespace/name`) it calls the API server with that service account's token, bound to the
        node; otherwise as the administrator.

        Raises:
            ConfigError: `account` is none.
            DriverDiedError: it ended before; the text ends with what it logged last.
        """
        where = self.nodes[node] if node else self.cluster.nodes[0]
        if account:
            await self.until("nodes", where.name, bool, namespace="")
            kubeconfig = await self.cluster.account_kubeconfig(where, account)
            environ = {"KUBECONFIG": str(kubeconfig), **(environ or {})}
        told = len(self.calls)
        driver = await self._stack.enter_async_context(
            run_driver(self.cluster, where, command, environ)
        )
        await self._along(published(self.cluster, where, driver, self.patience))
        # Slices of a driver that ran before are there at once: only the kubelet's word shows that this one serves.
        registered = self._until_called(told, lambda call: _is_welcome(call, where))
        await self._patiently(f"registration on {where.name}", registered, [])
        return driver

    async def plugin(
        self,
        command: Sequence[str],
        resource: str,
        node: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> DriverProcess:
        """Start a device plugin (v1beta1) and return once pods of the node can have some of its `resource`.

        It finds the kubelet's socket in `KUBELET_ROOT/device-plugins` and is stopped after the test.

        Raises:
            DriverDiedError: it ended before; the text ends with what it logged last.
        """
        where = self.nodes[node] if node else self.cluster.nodes[0]
        told = len(self.calls)
        plugin = await self._stack.enter_async_context(
            run_driver(self.cluster, where, command, environ)
        )
        await self._along(offered(self.cluster, where, resource, plugin, self.patience))
        # The node's status may still be that of a plugin that ran before: the kubelet asks each for its options.
        introduced = self._until_called(told, lambda call: _is_introduced(call, where, resource))
        await self._patiently(f"registration of {resource} on {where.name}", introduced, [])
        return plugin

    async def apply(self, *manifests: Path | KubeObject) -> tuple[ObjectRef, ...]:
        """Create objects: YAML files, folders of them, or bodies; in order. Raises `ManifestError`."""
        refs: list[ObjectRef] = []
        for manifest in manifests:
            for each in _read(manifest):
                refs += await apply(self.api, each, self.server.resource_of)
        return tuple(refs)

    async def pod(self, name: str, *phases: str, namespace: str = "default") -> KubeObject:
        """Wait until a pod is in one of these phases (without any: Succeeded) and return it."""
        wanted = phases or ("Succeeded",)

        def is_there(pod: KubeObject) -> bool:
            return pod.get("status", {}).get("phase") in wanted

        return await self.until("pods", name, is_there, namespace=namespace)

    async def until(
        self,
        resource: str,
        name: str,
        holds: Callable[[KubeObject], bool],
        *,
        namespace: str = "default",
    ) -> KubeObject:
        """Wait until an object is there for which `holds` is true, and return it."""
        last: list[KubeObject] = []
        what = f"{resource} {namespace}/{name}"
        return await self._patiently(
            what, self._first(resource, namespace, name, holds, last), last
        )

    async def event(self, reason: str, namespace: str = "") -> KubeObject:
        """Wait for a Kubernetes event with this reason, such as FailedPrepareDynamicResources."""

        def is_it(event: KubeObject) -> bool:
            return event.get("reason") == reason

        return await self._patiently(
            f"event {reason}", self._first("events", namespace, "", is_it, []), []
        )

    async def delete(self, resource: str, name: str, namespace: str = "default") -> None:
        """Delete an object and wait until it is gone."""
        uid = uid_of(await self.api.get(resource, name, namespace))
        await self.api.delete(ObjectRef(resource, name, namespace))
        gone = self._gone(resource, namespace, name, uid)
        await self._patiently(f"the end of {resource} {namespace}/{name}", gone, [])

    async def log(self, pod: str, container: str = "", namespace: str = "default") -> str:
        """What a pod's container (its first without a name) has printed so far."""
        body = await self.api.get("pods", pod, namespace)
        name = container or body["spec"]["containers"][0]["name"]
        chunks = self.cluster.logs.read(namespace, pod, name, follow=False)
        return b"".join([chunk async for chunk in chunks]).decode(errors="replace")

    async def advance(self, seconds: float) -> None:
        """Move the manual clock: retries, back-offs and deadlines on the way happen.

        Raises:
            ConfigError: the testbed runs on real time.
        """
        if not isinstance(self.cluster.clock, ManualClock):
            raise ConfigError(
                'testbed: time can only be moved with a manual clock: @pytest.mark.testbed(clock="manual")',
                key="clock",
                source="test",
            )
        await self.cluster.clock.advance(seconds)

    async def _first(
        self,
        resource: str,
        namespace: str,
        name: str,
        holds: Callable[[KubeObject], bool],
        last: list[KubeObject],
    ) -> KubeObject:
        selection = Selection(namespace, field_selector=f"metadata.name={name}" if name else "")
        while True:  # a watch may be cut by a fault of the test's own
            async for event in self.api.watch(resource, selection):
                last[:] = [event.object]
                if event.type in ("ADDED", "MODIFIED") and holds(event.object):
                    return event.object

    async def _until_called(self, told: int, holds: Callable[[DriverCall], bool]) -> None:
        while not any(map(holds, self.calls[told:])):
            self._called.clear()
            await self._called.wait()

    def called(self, call: DriverCall) -> None:
        """Told by the testbed of each finished call."""
        self.calls.append(call)
        self._called.set()

    async def _gone(self, resource: str, namespace: str, name: str, uid: str) -> None:
        selection = Selection(namespace, field_selector=f"metadata.name={name}")
        while True:  # a watch may be cut by a fault of the test's own
            listed = await self.api.list(resource, selection)
            if uid not in map(uid_of, listed.items):
                return
            async for event in self.api.watch(resource, selection, listed.resource_version):
                if event.type == "DELETED":
                    return

    async def _patiently(
        self, what: str, work: Coroutine[Any, Any, T], last: list[KubeObject]
    ) -> T:
        try:
            async with asyncio.timeout(self.patience):
                return await self._along(work)
        except TimeoutError as err:
            there = f"it is {key_of(last[0])}, {last[0].get('status')}" if last else "nothing came"
            raise StillWaitingError(
                f"{what}: not there after {self.patience:.0f} s: {there}"
            ) from err

    async def _along(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`; a manual clock goes along with real time meanwhile."""
        clock = self.cluster.clock
        if not isinstance(clock, ManualClock):
            return await work
        passing = asyncio.ensure_future(_pass(clock))
        try:
            return await work
        finally:
            passing.cancel()
            await asyncio.gather(passing, return_exceptions=True)


def _is_welcome(call: DriverCall, node: Node) -> bool:
    return _is_on(node, call) and (call.method, call.code) == ("NotifyRegistrationStatus", "OK")


def _is_introduced(call: DriverCall, node: Node, resource: str) -> bool:
    asked = (call.driver, call.method, call.code)
    return _is_on(node, call) and asked == (resource, "GetDevicePluginOptions", "OK")


def _is_on(node: Node, call: DriverCall) -> bool:
    return Path(call.endpoint).resolve().is_relative_to(node.kubelet_root.resolve())


async def _pass(clock: ManualClock) -> None:
    while True:
        await asyncio.sleep(_STEP)
        await clock.advance(_STEP)


def _read(manifest: Path | KubeObject) -> Sequence[Manifest]:
    if isinstance(manifest, Path):
        return read_folder(manifest) if manifest.is_dir() else (read(manifest),)
    return (Manifest("of the test", (manifest,)),)


@asynccontextmanager
async def harness(settings: TestbedSettings) -> AsyncIterator[Harness]:
    """A testbed for the block; drivers started on it are stopped before it is."""
    async with start(settings) as testbed:
        made = Harness(testbed)
        testbed.observe(made.called)
        async with made._stack:  # noqa: SLF001 - closing is not for tests
            yield made
