"""One run of the driver under test: a process with its children, and all it said."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydra_core.errors import ConfigError

_TAIL = 1500
_REST = 2.0
"""Seconds in which what a program wrote before it ended is read; its children may hold the other end for ever."""


@dataclass(slots=True)
class Process:
    """A driver's process. It and its children are one process group."""

    child: asyncio.subprocess.Process
    _said: bytearray = field(default_factory=bytearray)
    _reading: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, argv: Sequence[str], environ: Mapping[str, str]) -> Process:
        """Start it; both its outputs are kept.

        Raises:
            ConfigError: there is no such program.
        """
        try:
            child = await asyncio.create_subprocess_exec(
                *argv,
                env=environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as err:
            raise ConfigError(
                f"conformance: {argv[0]} cannot be started: {err.strerror}; check the command",
                key="start",
                source="flag",
            ) from err
        process = cls(child)
        process._reading = asyncio.get_running_loop().create_task(process._read())
        return process

    @property
    def said(self) -> str:
        """Everything it wrote so far."""
        return self._said.decode(errors="replace")

    @property
    def last_words(self) -> str:
        """The end of what it wrote."""
        return self.said[-_TAIL:].strip() or "(nothing)"

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.child.returncode

    def pids(self) -> Iterator[int]:
        """The processes of its group."""
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(ValueError, ProcessLookupError):
                if os.getpgid(int(entry.name)) == self.child.pid:
                    yield int(entry.name)

    async def ended(self, seconds: float) -> int:
        """Wait for its end by itself. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            return await self.child.wait()

    async def heard(self) -> None:
        """Wait until all it wrote is read, after its end."""
        if self._reading is not None:
            await asyncio.wait((self._reading,), timeout=_REST)

    async def stop(self, seconds: float) -> bool:
        """Ask it to end; returns whether it did in time. Otherwise it is killed."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                self.child.terminate()
        try:
            await self.ended(seconds)
        except TimeoutError:
            await self.kill()
            return False
        await self.kill()  # what it left behind
        return True

    async def kill(self) -> None:
        """End it and its children as a power cut would."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)
        await self.child.wait()
        if self._reading is not None:
            await self._reading

    async def _read(self) -> None:
        if self.child.stdout is not None:
            while chunk := await self.child.stdout.read(1 << 16):
                self._said += chunk
