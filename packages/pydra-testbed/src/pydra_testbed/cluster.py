"""A cluster in one process: API server, scheduler, controllers and kubelets together, in one folder.

`pydra demo`, `pydra testbed up`, the pytest plugin and boundary tests start it. Drivers meet it only as on a real
node: over HTTP and over sockets below the node's kubelet root.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydra_core.errors import ConfigError
from pydra_testbed.api import (
    ADMIN,
    ALWAYS_ALLOW,
    DEFAULT_GATES,
    ApiServer,
    Authorization,
    Bound,
    LogSource,
    selector_check,
    write_kubeconfig,
)
from pydra_testbed.clock import Clock, RealClock
from pydra_testbed.controllers import ALL
from pydra_testbed.folder import own_folder
from pydra_testbed.janitor import VARIABLE
from pydra_testbed.kubelet import CallObserver, DriverCall, Kubelet, KubeletFaults, KubeletSettings
from pydra_testbed.nodes import KubeletService, Node, Spawn
from pydra_testbed.objects import Api, uid_of
from pydra_testbed.runtime import Runtime
from pydra_testbed.scheduler import Scheduler

__all__ = ["QUICK", "Node", "Testbed", "TestbedSettings", "start"]

_log = logging.getLogger(__name__)
_TOKEN_LIFE = timedelta(days=365)
"""A kubelet would renew a driver's token; nobody does here, and manual clocks leap."""
_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(slots=True)
class Testbed:
    """A running cluster; made by `start`."""

    __test__ = False  # not a test, whatever pytest thinks of the name

    api: Api
    server: ApiServer
    url: str
    root: Path
    kubeconfig: Path
    nodes: tuple[Node, ...]
    logs: LogSource
    clock: Clock
    kubelets: dict[str, KubeletService] = field(default_factory=dict)
    _observers: list[CallObserver] = field(default_factory=list)

    def observe(self, observer: CallObserver) -> None:
        """Call `observer` after each gRPC call of any kubelet to any driver."""
        self._observers.append(observer)

    def told(self, call: DriverCall) -> None:
        """Pass a finished call on to all observers."""
        for observer in self._observers:
            observer(call)

    def driver_environment(self, node: Node) -> dict[str, str]:
        """The environment variables with which a driver process serves on `node`, and ends with the testbed."""
        return {
            "NODE_NAME": node.name,
            "KUBECONFIG": str(self.kubeconfig),
            "KUBELET_ROOT": str(node.kubelet_root),
            "CDI_DIR": str(node.cdi_dir),
            VARIABLE: str(self.root),
        }

    async def account_kubeconfig(self, node: Node, account: str) -> Path:
        """A kubeconfig like a pod's on `node`: the token of a service account (`namespace/name`), bound to the node.

        The account needs no object; what it may do is in the roles bound to it.

        Raises:
            ConfigError: `account` names no namespace or no account.
            ApiStatusError: the node is not registered yet.
        """
        namespace, _, name = account.partition("/")
        if not namespace or not _NODE_NAME.fullmatch(name):
            raise ConfigError(
                f"testbed: account {account!r}: write NAMESPACE/NAME of a service account",
                key="account",
                source="testbed",
            )
        bound = Bound("node", node.name, uid_of(await self.api.get("nodes", node.name)))
        token = self.server.tokens.for_service_account(
            namespace, name, bound=[bound], life=_TOKEN_LIFE
        )
        path = node.kubelet_root.parent / f"kubeconfig-{namespace}-{name}"
        return write_kubeconfig(path, self.url, token.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestbedSettings:
    """What kind of cluster.

    `gates` overrides feature gates of Kubernetes 1.36, `port` is the API server's (0: a free one). With
    `authorization` by roles the testbed's kubeconfig is the administrator's; `Testbed.account_kubeconfig` makes others.

    Raises:
        ConfigError: no node, a node's name that Kubernetes would refuse or that is there twice, an unknown gate.
    """

    __test__ = False

    nodes: tuple[str, ...] = ("laptop",)
    clock: Clock = field(default_factory=RealClock)
    kubelet: KubeletSettings = field(default_factory=KubeletSettings)
    gates: Mapping[str, bool] = field(default_factory=lambda: DEFAULT_GATES)
    port: int = 0
    authorization: Authorization = ALWAYS_ALLOW

    def __post_init__(self) -> None:
        for name in self.nodes:
            if not _NODE_NAME.fullmatch(name) or self.nodes.count(name) > 1:
                raise ConfigError(
                    f"testbed: node {name!r}: names are different DNS labels, like node-1",
                    key="nodes",
                    source="testbed settings",
                )
        if not self.nodes:
            raise ConfigError(
                "testbed: it needs at least one node", key="nodes", source="testbed settings"
            )
        for gate in set(self.gates) - set(DEFAULT_GATES):
            raise ConfigError(
                f"testbed: {gate}: no feature gate it knows; those are {', '.join(DEFAULT_GATES)}",
                key="gates",
                source="testbed settings",
            )


QUICK = TestbedSettings(kubelet=KubeletSettings(reconcile_period=0.05, node_update_period=0.05))
"""A cluster of one node whose kubelet looks for drivers twenty times a second instead of once."""


@asynccontextmanager
async def start(settings: TestbedSettings = QUICK) -> AsyncIterator[Testbed]:
    """Run a cluster while the block runs; nothing of it is left afterwards, even if its process is killed.

    The folder lies directly in the temporary directory, because socket paths may have 107 bytes at most.

    Raises:
        ConfigError: the temporary directory's path is too long for sockets.
        OSError: the temporary directory cannot be written, or the port is taken.
    """
    async with AsyncExitStack() as stack:
        root = stack.enter_context(own_folder(settings.nodes))
        nodes = tuple(Node.make(root, name) for name in settings.nodes)
        logs = _Logs()
        server = ApiServer(
            settings.clock,
            cel_check=selector_check,
            logs=logs,
            gates=settings.gates,
            authorization=settings.authorization,
        )
        url = await stack.enter_async_context(server.listen(port=settings.port))
        needs_token = settings.authorization.without_token is None
        token = server.tokens.add(ADMIN) if needs_token else None
        kubeconfig = write_kubeconfig(root / "kubeconfig", url, token)
        testbed = Testbed(server.local, server, url, root, kubeconfig, nodes, logs, settings.clock)
        for node in nodes:
            runtime = Runtime(
                node.kubelet_root.parent / "run", [node.cdi_dir], clock=settings.clock
            )
            logs.sources.append(runtime)
            stack.push_async_callback(runtime.close)
        spawn = await stack.enter_async_context(_running())
        for part in ALL:
            spawn(part(server.local.acting_as("kube-controller-manager"), settings.clock).run())
        scheduling = server.local.acting_as("kube-scheduler")
        spawn(Scheduler(scheduling, settings.clock, gates=settings.gates).run())
        for node, runtime in zip(nodes, logs.sources, strict=True):
            faults = KubeletFaults()
            make = partial(_kubelet, testbed, settings, node, runtime, faults)
            testbed.kubelets[node.name] = KubeletService(node, make, spawn, faults)
            testbed.kubelets[node.name].start()
        yield testbed


def _kubelet(
    testbed: Testbed,
    settings: TestbedSettings,
    node: Node,
    runtime: Runtime,
    faults: KubeletFaults,
) -> Kubelet:
    return Kubelet(
        testbed.server.local.acting_as("kubelet"),
        settings.clock,
        node.name,
        node.kubelet_root,
        runtime,
        settings=settings.kubelet,
        observer=testbed.told,
        faults=faults,
    )


@asynccontextmanager
async def _running() -> AsyncIterator[Spawn]:
    """Run parts beside the block; the first to fail ends it, leaving the block ends the parts.

    An error of the block comes out as itself: whoever asked for a cluster knows nothing of task groups.
    """
    tasks: set[asyncio.Task[None]] = set()
    try:
        async with asyncio.TaskGroup() as group:

            def spawn(part: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
                task = group.create_task(part)
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                return task

            try:
                yield spawn
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as errors:
        for other in errors.exceptions[1:]:
            _log.error("another part failed as well", exc_info=other)
        raise errors.exceptions[0] from errors.exceptions[0].__cause__


class _Logs:
    """Pod logs of all nodes: the runtime that ran the container has them."""

    def __init__(self) -> None:
        self.sources: list[Runtime] = []

    async def read(
        self, namespace: str, name: str, container: str, *, follow: bool
    ) -> AsyncIterator[bytes]:
        """Raises `LookupError` while no node has started the container."""
        missing: LookupError | None = None
        for source in self.sources:
            try:
                async for chunk in source.read(namespace, name, container, follow=follow):
                    yield chunk
            except LookupError as err:
                missing = err
            else:
                return
        raise missing or LookupError(f"no node ran {namespace}/{name}/{container}")
