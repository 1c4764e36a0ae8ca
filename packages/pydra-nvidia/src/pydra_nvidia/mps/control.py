"""Commands for a daemon, by NVIDIA's front end: the only way in, slow to refuse and quick to say nothing.

Its exit status speaks of the way to the daemon, not of the command: a command that was refused exits 0. So whoever
sets something here asks for it afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydra_core.errors import VendorError, VendorTimeoutError
from pydra_nvidia.mps import texts
from pydra_nvidia.mps.folders import GpuFolder
from pydra_nvidia.mps.tool import Tool

PATIENCE = 10.0
"""Seconds a command may take."""
_MOST_TEXT = 300


class Control:
    """The front end to the daemon of one folder; `newer` if that speaks the newer protocol."""

    def __init__(
        self, tool: Tool, folder: GpuFolder, patience: float = PATIENCE, *, newer: bool = False
    ) -> None:
        self.tool = tool
        self.newer = newer
        self.folder = folder
        self.patience = patience

    async def ask(self, *commands: str) -> list[str]:
        """Give commands of the older protocol, one after another in one conversation.

        Returns:
            What was printed, line by line; which line answers which command is not told.

        Raises:
            VendorError: no daemon is reached.
            VendorTimeoutError: the front end does not end.
        """
        return await self._run(commands, ())

    async def verb(self, *words: str) -> list[str]:
        """Give one command of the newer protocol. Raises as `ask`."""
        return await self._run((), words)

    async def hello(self) -> None:
        """See whether the daemon listens. Raises as `ask`."""
        if self.newer:
            await self.verb("server", "list")
        else:
            await self.ask("get_server_list")

    async def quit(self, grace: int) -> None:
        """Let the daemon end, and programs that are still connected within these seconds. Raises as `ask`."""
        if self.newer:
            await self.verb("-q")
        else:
            await self.ask(f"quit -t {grace}")

    async def servers(self) -> list[int]:
        """Process IDs of the servers that run. Raises as `ask`."""
        return texts.pids(await self.ask("get_server_list"))

    async def _run(self, commands: Sequence[str], words: Sequence[str]) -> list[str]:
        order = self.tool.front_end(self.folder, words)
        try:
            process = await asyncio.create_subprocess_exec(
                *order.argv,
                env=order.env,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as err:
            raise VendorError(
                f"GPU {self.folder.uuid}: {self.tool.path} cannot be run: {err.strerror}"
            ) from err
        what = "; ".join(commands) or " ".join(words)
        said = await self._ended(process, "".join(f"{c}\n" for c in commands), what)
        text = said.decode(errors="replace")
        if process.returncode:
            told = " ".join(text.split())[:_MOST_TEXT] or "it says nothing"
            raise VendorError(
                f"GPU {self.folder.uuid}: {self.tool.path.name}, told {what!r}, exited with {process.returncode}: {told}"
            )
        return [line for line in text.splitlines() if line.strip()]

    async def _ended(self, process: asyncio.subprocess.Process, text: str, what: str) -> bytes:
        """What the program said. It is not left behind, whoever stops waiting for it."""
        try:
            async with asyncio.timeout(self.patience):
                said, _ = await process.communicate(text.encode())
                return said
        except TimeoutError:
            raise VendorTimeoutError(
                f"GPU {self.folder.uuid}: {self.tool.path.name}, told {what!r}, does not end within"
                f" {self.patience:g} s; see the kernel log for the GPU"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
