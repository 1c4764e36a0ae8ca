"""One node for one scenario: API server, kubelet and runtime on a clock that follows the machine's, or is moved."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from pydra_testbed.api import ApiServer
from pydra_testbed.clock import ManualClock
from pydra_testbed.kubelet import Kubelet, KubeletSettings
from pydra_testbed.objects import KubeObject, ObjectRef
from pydra_testbed.runtime import Runtime
from pydra_testbed.runtime.waiting import cancel_all

_NODE = "node"
_STEP = 0.01
_PATIENCE = 5.0
"""Seconds for something that a kubelet does at once; what is not there then is a difference."""
_SETTINGS = KubeletSettings(reconcile_period=0.05, node_update_period=0.05, crash_backoff=0.05)


class World:
    """What a scenario happens in, below `root`."""

    def __init__(self, root: Path) -> None:
        self.clock = ManualClock()
        self.folder = root / "k" / "device-plugins"
        self._root = root
        self._cdi = root / "cdi"
        self._cdi.mkdir()
        self._go = root / "go"
        self._runtime = Runtime(root / "run", [self._cdi], clock=self.clock)
        self._server = ApiServer(self.clock, logs=self._runtime)
        self._api = self._server.local
        self._kubelet: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Run the kubelet, until its node and its socket are there."""
        before = self.socket
        kubelet = Kubelet(
            self._api, self.clock, _NODE, self._root / "k", self._runtime, settings=_SETTINGS
        )
        self._kubelet = asyncio.get_running_loop().create_task(kubelet.run())
        await self.until(lambda: self.socket not in {None, before})
        await self._until_ready()

    async def stop(self) -> None:
        """End the kubelet; containers and sockets stay."""
        task, self._kubelet = self._kubelet, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def socket(self) -> tuple[int, int] | None:
        """What tells one kubelet's socket from another's."""
        try:
            status = (self.folder / "kubelet.sock").stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_ctime_ns

    @property
    def is_running(self) -> bool:
        """Whether a kubelet runs."""
        return self._kubelet is not None

    async def close(self) -> None:
        """End everything."""
        await self.stop()
        await self._runtime.close()

    async def until(self, holds: Callable[[], bool]) -> bool:
        """Let time pass until `holds`, or it is clear that it will not; returns whether it does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while not holds():
                    await self._pass()
        return holds()

    async def amounts(self, resource: str) -> tuple[str, str]:
        """Capacity and allocatable of the node, once a change has been posted."""
        for _ in range(20):
            await self._pass()
        status = (await self._node())["status"]
        return status["capacity"].get(resource, "0"), status["allocatable"].get(resource, "0")

    async def until_lost(self, resource: str) -> None:
        """Wait until the kubelet has noticed that nobody serves the resource any more."""
        await self._until_allocatable(resource, some=False)

    async def until_offered(self, resource: str) -> None:
        """Wait until the scheduler would send pods here that ask for the resource."""
        await self._until_allocatable(resource, some=True)

    async def _until_allocatable(self, resource: str, *, some: bool) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while self.is_running and ((await self.amounts(resource))[1] != "0") is not some:
                    await self._pass()

    def define(self, names: Iterable[str]) -> None:
        """Write spec files for these CDI device names."""
        kinds: dict[str, list[str]] = {}
        for name in names:
            kind, _, device = name.partition("=")
            kinds.setdefault(kind, []).append(device)
        for number, (kind, devices) in enumerate(sorted(kinds.items())):
            entries = [
                {"name": d, "containerEdits": {"env": ["GIVEN=1"]}} for d in sorted(set(devices))
            ]
            body = {"cdiVersion": "0.6.0", "kind": kind, "devices": entries}
            (self._cdi / f"{number}.json").write_text(json.dumps(body), encoding="utf-8")

    async def pod(self, name: str, resource: str, count: int) -> None:
        """A pod of this node with so many devices; its container ends when `end_container` says so."""
        amount = {resource: str(count)}
        wait = f"until rmdir {self._go} 2>/dev/null; do sleep 0.05; done"
        container = {
            "name": "main",
            "image": "none",
            "command": ["sh", "-c", wait],
            "resources": {"limits": amount, "requests": amount},
        }
        spec = {"containers": [container], "nodeName": _NODE, "terminationGracePeriodSeconds": 1}
        body = {"metadata": {"name": name, "namespace": "default"}, "spec": spec}
        await self._api.create("pods", body, "default")

    def end_container(self) -> None:
        """Let one container end."""
        self._go.mkdir()

    async def delete(self, name: str) -> None:
        """Delete a pod as a user does."""
        await self._api.delete(ObjectRef("pods", name, "default"))

    async def pods(self) -> list[str]:
        """The names of the pods that there are."""
        return [pod["metadata"]["name"] for pod in (await self._api.list("pods")).items]

    async def until_gone(self) -> None:
        """Wait until no pod is left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while await self.pods():
                    await self._pass()

    async def _pass(self) -> None:
        await asyncio.sleep(_STEP)
        await self.clock.advance(_STEP)

    async def _node(self) -> KubeObject:
        return await self._api.get("nodes", _NODE)

    async def _until_ready(self) -> None:
        async with asyncio.timeout(_PATIENCE):
            while not (await self._node()).get("status", {}).get("conditions"):
                await self._pass()


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """A node whose kubelet runs, for the block."""
    with tempfile.TemporaryDirectory(prefix="pydra-") as folder:
        made = World(Path(folder))
        try:
            await made.start()
            yield made
        finally:
            await made.close()


async def patiently(made: World, work: asyncio.Future[str], seconds: float) -> str:
    """The result of `work`, which takes the kubelet `seconds` on its clock."""
    try:
        for _ in range(100):
            done, _ = await asyncio.wait({work}, timeout=0.1)
            if done:
                return work.result()
            await made.clock.advance(seconds)  # by nothing, for a call that took no time then
    finally:
        await cancel_all(work)
    return "no answer"
