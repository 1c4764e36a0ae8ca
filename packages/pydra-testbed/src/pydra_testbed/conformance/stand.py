"""The place where cases are played: a node with its kubelet, an API server, and the driver on it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydra_core.errors import ConfigError
from pydra_testbed.api import ApiServer
from pydra_testbed.conformance import claims
from pydra_testbed.conformance.access import NODE
from pydra_testbed.conformance.claims import Use
from pydra_testbed.conformance.files import Cdi
from pydra_testbed.conformance.front import Front
from pydra_testbed.conformance.journal import find_journal
from pydra_testbed.conformance.kubelet import NodeKubelet, Registration
from pydra_testbed.conformance.limits import Limits
from pydra_testbed.conformance.model import NotMetError, Profile, UnsuitedError
from pydra_testbed.conformance.offer import Offer, Offered, is_complete, read_offer
from pydra_testbed.conformance.process import Process
from pydra_testbed.conformance.running import Running
from pydra_testbed.conformance.subject import DEVICES, Subject, argv
from pydra_testbed.kubelet import ClaimRef
from pydra_testbed.kubelet.rpc import RpcError
from pydra_testbed.objects import KubeObject, Selection

_LOOK = 0.02


@dataclass(slots=True)
class Stand:
    """One node for one case after the other; `driver` is the instance that was started last."""

    subject: Subject
    limits: Limits
    root: Path
    kubelet_root: Path
    server: ApiServer
    kubeconfig: Path
    kubelet: NodeKubelet
    variables: Mapping[str, str]
    front: Front | None = None
    profile: Profile = field(default_factory=Profile)
    offer: Offer = field(default_factory=lambda: Offer((), {}, ()))
    running: list[Running] = field(default_factory=list)
    claimed: list[ClaimRef] = field(default_factory=list)
    _kubelet_task: asyncio.Task[None] | None = None
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def driver(self) -> Running:
        """The instance that was started last."""
        return self.running[-1]

    def learn(self) -> Profile:
        """What a driver that was started and has published shows of itself."""
        socket = Path(self.driver.registration.socket).name
        is_ours = find_journal(self.data_dir) is not None
        return Profile(self.driver.name, socket, is_ours, self.offer.slices)

    @property
    def cdi(self) -> Cdi:
        """The node's spec files."""
        return Cdi(self.root / "cdi")

    @property
    def refusals(self) -> list[str]:
        """Why slices were refused that the driver wrote, as far as somebody looks."""
        return self.front.refusals if self.front else []

    @property
    def boot_id(self) -> Path:
        """The file that holds the node's boot ID."""
        return self.root / "boot_id"

    @property
    def data_dir(self) -> Path:
        """Where the driver keeps its own files below the kubelet's root."""
        return self.kubelet_root / "plugins" / self.driver.name

    async def launch(
        self, *, pod_uid: str = "", wrap: Sequence[str] = (), devices: int = DEVICES
    ) -> Process:
        """Start the driver and wait for nothing; `wrap` is a program that starts it."""
        places = self._places(pod_uid=pod_uid, devices=str(devices))
        words = [*wrap, *argv(self.subject.command, places)]
        return await Process.start(words, self._environ(pod_uid))

    async def change(self, command: Sequence[str], device: str) -> None:
        """Run a command that makes a device sick or well.

        Raises:
            ConfigError: it cannot be started or fails.
        """
        words = argv(command, self._places(device=device))
        process = await Process.start(words, self._environ())
        try:
            code = await process.ended(self.limits.start)
        finally:
            await process.kill()
        if code:
            raise ConfigError(
                f"conformance: {' '.join(words)}: ended with code {code}: {process.last_words}; try it by hand",
                key="sicken",
                source="flag",
            )

    def _places(self, **more: str) -> dict[str, str]:
        return more | {
            "node": NODE,
            "kubeconfig": str(self.kubeconfig),
            "kubelet_root": str(self.kubelet_root),
            "cdi_dir": str(self.root / "cdi"),
        }

    def _environ(self, pod_uid: str = "") -> dict[str, str]:
        own = {
            "NODE_NAME": NODE,
            "KUBECONFIG": str(self.kubeconfig),
            "KUBELET_ROOT": str(self.kubelet_root),
            "CDI_DIR": str(self.root / "cdi"),
            "BOOT_ID_FILE": str(self.boot_id),
            "POD_UID": pod_uid,
        }
        return {k: v for k, v in (os.environ | own | dict(self.variables)).items() if v}

    async def start(
        self, *, pod_uid: str = "", wrap: Sequence[str] = (), devices: int = DEVICES
    ) -> Running:
        """Start the driver and wait until the kubelet has registered it and is connected.

        Raises:
            NotMetError: it ended, or was not registered in time.
        """
        before = len(self.kubelet.calls)
        process = await self.launch(pod_uid=pod_uid, wrap=wrap, devices=devices)
        try:
            running = Running(process, await self._registration(process, before), self.limits)
        except BaseException:
            await process.kill()
            raise
        self.running.append(running)
        return running

    async def published(self) -> None:
        """Wait for the driver's slices, and take up what it offers."""
        name = self.driver.name
        selection = Selection(field_selector=f"spec.driver={name}")
        found: list[KubeObject] = []

        async def complete() -> bool:
            listed = await self.server.local.list("resourceslices", selection)
            found[:] = listed.items
            return is_complete(found)

        async with self._in_time(f"slices of {name} with a device in each complete pool"):
            while not await complete():
                await self._check_alive()
                await asyncio.sleep(_LOOK)
        self.offer = read_offer(found)

    async def until(self, what: str, holds: Callable[[], bool], seconds: float = 0.0) -> None:
        """Wait until `holds`. Raises `NotMetError` after `seconds`, or as long as a start may take."""
        async with self._in_time(what, seconds):
            while not holds():  # noqa: ASYNC110 - processes and files tell nobody
                await asyncio.sleep(_LOOK)

    async def eventually(
        self, what: str, holds: Callable[[], Awaitable[bool]], seconds: float
    ) -> None:
        """Wait until `holds`, which asks the API server. Raises `NotMetError` after `seconds`."""
        async with self._in_time(what, seconds):
            while not await holds():  # noqa: ASYNC110 - the same
                await asyncio.sleep(_LOOK)

    async def restart_kubelet(self) -> None:
        """A new kubelet on the same root; returns once the driver is registered with it."""
        await self.stop_kubelet()
        before = len(self.kubelet.calls)
        await self.start_kubelet()
        registration = await self._registration(self.driver.process, before)
        self.running[-1] = Running(self.driver.process, registration, self.limits)

    async def start_kubelet(self) -> None:
        """Let the node's kubelet run; returns once its folders are as drivers find them."""
        self.kubelet.opened.clear()
        self._kubelet_task = asyncio.get_running_loop().create_task(self.kubelet.run())
        opened = asyncio.ensure_future(self.kubelet.opened.wait())
        await asyncio.wait({self._kubelet_task, opened}, return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()

    async def stop_kubelet(self) -> None:
        """End the node's kubelet; drivers are not told."""
        if self._kubelet_task is not None:
            self._kubelet_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._kubelet_task

    def devices(self, count: int) -> tuple[Offered, ...]:
        """That many different devices, not the first one if there are more.

        Raises:
            UnsuitedError: the driver offers fewer that can be prepared together.
        """
        found = self.offer.together()
        if len(found) < count:
            raise UnsuitedError(f"needs {count} devices, the driver publishes {len(found)}")
        return (found[1:] + found[:1])[:count]

    def use(self, device: Offered, request: str = "r0", *, admin: bool = False) -> Use:
        """The whole of a device for a request, or a new share of one that can be shared."""
        return Use.of(self.driver.name, device, request, admin=admin)

    async def claim(self, *uses: Use, config: Sequence[KubeObject] = ()) -> ClaimRef:
        """A claim that is allocated to `uses`, and undone after the case."""
        name = f"claim-{next(self._numbers)}"
        ref = await claims.make(self.server.local, name, uses, config)
        self.claimed.append(ref)
        return ref

    async def tidy(self) -> bool:
        """Undo what the case did; returns whether the next one finds the node as new."""
        self.server.faults.clear()
        self.kubelet.faults.clear()
        refs, self.claimed = self.claimed, []
        if not self.running or self.driver.process.code is not None:
            return False
        try:
            answers = await self.driver.unprepare(*refs) if refs else {}
        except RpcError:
            return False
        return not any(answer.error for answer in answers.values()) and not self.cdi.files()

    async def close(self) -> None:
        """End everything on it."""
        for running in self.running:
            await running.process.kill()
        await self.stop_kubelet()

    async def _registration(self, process: Process, before: int) -> Registration:
        """Wait for a confirmed registration that came after the first `before` calls."""

        def confirmed() -> Registration | None:
            sockets = {
                call.endpoint
                for call in self.kubelet.calls[before:]
                if call.method == "NotifyRegistrationStatus" and call.code == "OK"
            }
            found = [i for i in self.kubelet.instances if i.socket in sockets]
            return found[-1] if found and self.kubelet.connected(found[-1].name) else None

        try:
            async with asyncio.timeout(self.limits.start):
                while not (found := confirmed()):
                    await _check_alive(process)
                    if self._kubelet_task is not None and self._kubelet_task.done():
                        self._kubelet_task.result()
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            said = f"{self._registration_trouble(before)}; it logged last:\n{process.last_words}"
            raise NotMetError(f"a registration within {self.limits.start:g} s", said) from None
        return found

    def _registration_trouble(self, before: int) -> str:
        calls = [call for call in self.kubelet.calls[before:] if call.error]
        return f"{calls[-1].method}: {calls[-1].error}" if calls else "nothing the kubelet takes"

    async def _check_alive(self) -> None:
        await _check_alive(self.driver.process)

    @asynccontextmanager
    async def _in_time(self, what: str, seconds: float = 0.0) -> AsyncIterator[None]:
        limit = seconds or self.limits.start
        try:
            async with asyncio.timeout(limit):
                yield
        except TimeoutError:
            raise NotMetError(what, f"not so after {limit:g} s") from None


async def _check_alive(process: Process) -> None:
    if process.code is not None:
        await process.heard()
        raise NotMetError(
            "a driver that runs",
            f"it ended with code {process.code}; it logged last:\n{process.last_words}",
        )
