"""A cluster in one process: API server, scheduler, controllers and kubelets together, in one folder.

`pydra demo`, boundary tests and driver authors' own tests start it. Drivers meet it only as on a real node:
over HTTP and over sockets below the node's kubelet root.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydra_testbed.api import ApiServer, LogSource, write_kubeconfig
from pydra_testbed.cel import complaint
from pydra_testbed.clock import Clock, RealClock
from pydra_testbed.controllers import ClaimController, GarbageCollector
from pydra_testbed.kubelet import CallObserver, DriverCall, Kubelet, KubeletSettings
from pydra_testbed.objects import Api
from pydra_testbed.runtime import Runtime
from pydra_testbed.scheduler import Scheduler

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Node:
    """One node's folders, as its kubelet, its runtime and its drivers see them."""

    name: str
    kubelet_root: Path
    cdi_dir: Path


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
    _observers: list[CallObserver] = field(default_factory=list)

    def observe(self, observer: CallObserver) -> None:
        """Call `observer` after each gRPC call of any kubelet to any driver."""
        self._observers.append(observer)

    def told(self, call: DriverCall) -> None:
        """Pass a finished call on to all observers."""
        for observer in self._observers:
            observer(call)

    def driver_environment(self, node: Node) -> dict[str, str]:
        """The environment variables with which a driver process serves on `node`."""
        return {
            "NODE_NAME": node.name,
            "KUBECONFIG": str(self.kubeconfig),
            "KUBELET_ROOT": str(node.kubelet_root),
            "CDI_DIR": str(node.cdi_dir),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TestbedSettings:
    """What kind of cluster: node names, the clock everything runs on, the kubelet's periods."""

    __test__ = False

    nodes: tuple[str, ...] = ("laptop",)
    clock: Clock = field(default_factory=RealClock)
    kubelet: KubeletSettings = field(default_factory=KubeletSettings)


QUICK = TestbedSettings(kubelet=KubeletSettings(reconcile_period=0.05))
"""A cluster of one node whose kubelet looks for drivers twenty times a second instead of once."""


@asynccontextmanager
async def start(settings: TestbedSettings = QUICK) -> AsyncIterator[Testbed]:
    """Run a cluster while the block runs; nothing of it is left afterwards.

    The folder lies directly in the temporary directory, because socket paths may have 107 bytes at most.

    Raises:
        OSError: the temporary directory cannot be written.
    """
    async with AsyncExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pydra-")))
        nodes = tuple(_folders(root, name) for name in settings.nodes)
        logs = _Logs()
        server = ApiServer(settings.clock, cel_check=complaint, logs=logs)
        url = await stack.enter_async_context(server.listen())
        kubeconfig = write_kubeconfig(root / "kubeconfig", url)
        testbed = Testbed(server.local, server, url, root, kubeconfig, nodes, logs)
        runtimes = [
            Runtime(node.kubelet_root.parent / "run", [node.cdi_dir], clock=settings.clock)
            for node in nodes
        ]
        for runtime in runtimes:
            logs.sources.append(runtime)
            stack.push_async_callback(runtime.close)
        kubelets = [
            _kubelet(testbed, settings, node, runtime)
            for node, runtime in zip(nodes, runtimes, strict=True)
        ]
        controllers = [
            part(server.local, settings.clock).run
            for part in (ClaimController, GarbageCollector, Scheduler)
        ]
        async with _running([*controllers, *(k.run for k in kubelets)]):
            yield testbed


def _folders(root: Path, name: str) -> Node:
    base = root / name
    node = Node(name, base / "kubelet", base / "cdi")
    for folder in (node.kubelet_root, node.cdi_dir):
        folder.mkdir(parents=True)
    return node


def _kubelet(testbed: Testbed, settings: TestbedSettings, node: Node, runtime: Runtime) -> Kubelet:
    return Kubelet(
        testbed.api,
        settings.clock,
        node.name,
        node.kubelet_root,
        runtime,
        settings=settings.kubelet,
        observer=testbed.told,
    )


@asynccontextmanager
async def _running(parts: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> AsyncIterator[None]:
    """Run parts beside the block; the first to fail ends it, leaving the block ends the parts.

    An error of the block comes out as itself: whoever asked for a cluster knows nothing of task groups.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part()) for part in parts]
            try:
                yield
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
