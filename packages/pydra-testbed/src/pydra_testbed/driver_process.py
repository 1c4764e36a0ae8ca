"""A driver as its own process on a testbed's node: started, waited for, and gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from pydra_core.errors import PydraError
from pydra_testbed.cluster import Node, Testbed
from pydra_testbed.objects import Selection

T = TypeVar("T")
_GRACE = 5.0
_TAIL = 2000


class DriverDiedError(PydraError):
    """The driver's process ended before it served; the text ends with what it logged last."""

    reason = "DriverDied"


@dataclass(slots=True)
class DriverProcess:
    """A running driver; `log` holds its standard error."""

    process: asyncio.subprocess.Process
    log: Path
    _read: int = 0

    def news(self) -> tuple[str, ...]:
        """The lines it logged since this was last asked."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            content = file.read()
        self._read += len(content)
        return tuple(content.decode(errors="replace").splitlines())

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL to all its processes. One that ended just now is no error."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def stop(self) -> int:
        """Ask it to stop, insist after five seconds, and return its exit code."""
        if self.process.returncode is None:
            self.process.terminate()
            try:
                async with asyncio.timeout(_GRACE):
                    await self.process.wait()
            except TimeoutError:
                self.kill()
        return await self.process.wait()


@asynccontextmanager
async def run_driver(
    testbed: Testbed,
    node: Node,
    command: Sequence[str],
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[DriverProcess]:
    """Run `command` as a driver on `node` until the block is left; `environ` adds variables of its own.

    It runs in a session of its own: a Ctrl-C at the terminal reaches the testbed alone, which then stops the
    driver as a kubelet's pod would be stopped.
    """
    log = node.kubelet_root.parent / "driver.log"
    with log.open("ab") as stderr:
        start = stderr.tell()
        variables = testbed.driver_environment(node) | dict(environ or {})
        process = await _spawn(command, variables, stderr)
    driver = DriverProcess(process, log, start)
    try:
        yield driver
    finally:
        try:
            await asyncio.shield(driver.stop())
        finally:
            driver.kill()


async def _spawn(
    command: Sequence[str], environ: dict[str, str], stderr: IO[bytes]
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            env=os.environ | environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            start_new_session=True,
        )
    except OSError as err:
        raise DriverDiedError(
            f"driver process: {command[0]} cannot be started: {err.strerror}; check the command"
        ) from err


async def published(
    testbed: Testbed, node: Node, driver: DriverProcess, patience: float = 30.0
) -> str:
    """Wait until a complete pool of the node is published, and return the driver's name.

    Raises:
        DriverDiedError: the driver ended first, or has published nothing after `patience` seconds.
    """
    return await _served(driver, _complete_pool(testbed, node), patience, "published")


async def offered(
    testbed: Testbed, node: Node, resource: str, plugin: DriverProcess, patience: float = 30.0
) -> None:
    """Wait until a device plugin's extended resource can be given to pods of the node.

    Raises:
        DriverDiedError: the plugin ended first, or has offered nothing after `patience` seconds.
    """
    await _served(plugin, _allocatable(testbed, node, resource), patience, "offered")


async def _served(
    driver: DriverProcess, work: Coroutine[Any, Any, T], patience: float, done: str
) -> T:
    """The result of `work`, unless the driver's end or impatience comes first."""
    watch = asyncio.ensure_future(work)
    death = asyncio.ensure_future(driver.process.wait())
    try:
        await asyncio.wait((watch, death), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            return watch.result()
    finally:
        watch.cancel()
        death.cancel()
        await asyncio.gather(watch, death, return_exceptions=True)
    text = driver.log.read_text(errors="replace")[-_TAIL:] or "(nothing)"
    code = driver.process.returncode
    what = (
        f"has {done} nothing after {patience:.0f} s"
        if code is None
        else f"ended with code {code} before it served"
    )
    raise DriverDiedError(f"driver process: {what}; it logged last:\n{text}")


async def _allocatable(testbed: Testbed, node: Node, resource: str) -> None:
    selection = Selection(field_selector=f"metadata.name={node.name}")
    async for event in testbed.api.watch("nodes", selection):
        found = (event.object.get("status") or {}).get("allocatable") or {}
        if event.type in ("ADDED", "MODIFIED") and found.get(resource, "0") != "0":
            return
    raise DriverDiedError("testbed: the watch of nodes ended")


async def _complete_pool(testbed: Testbed, node: Node) -> str:
    seen: set[str] = set()
    async for event in testbed.api.watch(
        "resourceslices", Selection(field_selector=f"spec.nodeName={node.name}")
    ):
        if event.type in ("ADDED", "MODIFIED"):
            seen.add(event.object["metadata"]["name"])
            if len(seen) >= event.object["spec"]["pool"]["resourceSliceCount"]:
                return str(event.object["spec"]["driver"])
    raise DriverDiedError("testbed: the watch of slices ended")
