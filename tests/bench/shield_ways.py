"""What the shield is compared with in `shield.py`: a partner that only echoes, and ways to wait for it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

CHUNK = 1 << 16
"""Bytes read at a time. Python allocates them all first: with a megabyte each read costs 12 µs of page faults."""


class Echo:
    """The bare partner, and this side's ends of two pipes or of a socket pair."""

    def __init__(self, *, pipes: bool = True) -> None:
        if pipes:
            theirs, self.write = os.pipe()
            self.read, answers = os.pipe()
        else:
            ours, other = socket.socketpair()
            self.read = self.write = ours.detach()
            theirs = answers = other.detach()
        program = str(Path(__file__).with_name("shield_echo.py"))
        command = [sys.executable, program, str(theirs), str(answers)]
        self.process = subprocess.Popen(command, pass_fds=(theirs, answers))
        for fd in {theirs, answers}:
            os.close(fd)

    def turn(self, data: bytes) -> None:
        """Send and wait, as simply as can be."""
        os.write(self.write, data)
        left = len(data)
        while left:
            left -= len(os.read(self.read, CHUNK))

    def close(self) -> None:
        """End the partner."""
        self.process.terminate()
        self.process.wait()
        for fd in {self.read, self.write}:
            os.close(fd)


async def watched(echo: Echo, data: bytes) -> None:
    """The loop watches the descriptor itself."""
    loop = asyncio.get_running_loop()
    done, left = loop.create_future(), len(data)

    def ready() -> None:
        nonlocal left
        left -= len(os.read(echo.read, CHUNK))
        if not left:
            done.set_result(None)

    loop.add_reader(echo.read, ready)
    os.write(echo.write, data)
    await done
    loop.remove_reader(echo.read)


class Thread:
    """A thread reads and wakes the loop; it ends with its partner."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._loop = asyncio.get_running_loop()
        self._left, self._done = 0, self._loop.create_future()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while data := os.read(self._echo.read, CHUNK):
            self._left -= len(data)
            if not self._left:
                self._loop.call_soon_threadsafe(self._done.set_result, None)

    async def turn(self, data: bytes) -> None:
        """Send, and wait for the thread."""
        self._left, self._done = len(data), self._loop.create_future()
        os.write(self._echo.write, data)
        await self._done
