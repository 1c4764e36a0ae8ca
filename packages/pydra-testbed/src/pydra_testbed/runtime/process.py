"""A running container as the testbed holds it: start, terminate, kill, wait.

Called by `Runtime`. Python starts the shim (see `shim.py`), the shim starts the container; there is
no `preexec_fn`, which is unsafe beside gRPC's threads.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pydra_testbed.runtime import shim
from pydra_testbed.runtime.errors import StartError

# The exit code of a container whose shim was killed, as for any SIGKILL.
_KILLED = 137


class ContainerProcess:
    """One container's first process, reached through its shim."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._reading = asyncio.Lock()
        self._exit_code: int | None = None
        self.pid = 0
        self.ended = asyncio.Event()

    @classmethod
    async def start(cls, bundle: Path, log: Path) -> ContainerProcess:
        """Run the bundle's process with its output in `log`; raises `StartError`."""
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                shim.__file__,
                str(bundle),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                # Ctrl-C on the terminal is the testbed's to handle, not each container's.
                start_new_session=True,
            )
        container = cls(process)
        try:
            await container._started()
        except BaseException:
            container.kill()
            await container.wait()
            raise
        return container

    async def _started(self) -> None:
        verb, _, rest = await self._report()
        if verb != "started":
            raise StartError(rest or "its shim died")
        self.pid = int(rest)

    async def _report(self) -> tuple[str, str, str]:
        if self._process.stdout is None:
            return "", "", ""
        return (await self._process.stdout.readline()).decode().rstrip("\n").partition(" ")

    def terminate(self) -> None:
        """SIGTERM to the first process, as a pod's deletion sends it."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(b"T")

    def kill(self) -> None:
        """SIGKILL to everything of the container; cannot be refused."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def wait(self) -> int:
        """The exit code (128 + n for signal n), once nothing of the container runs any more."""
        async with self._reading:
            if self._exit_code is None:
                verb, _, code = await self._report()
                self._exit_code = int(code) if verb == "exited" else _KILLED
                self.kill()
            await self._process.wait()
            self.ended.set()
        return self._exit_code
