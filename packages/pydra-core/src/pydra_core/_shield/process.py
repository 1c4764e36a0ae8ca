"""One worker process on the event loop: frames out and in, what it prints, and its end.

Descriptors are watched by the loop itself. A thread that reads, and wakes the loop, costs twice as much per call
(`tests/bench/shield.py` measures both).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

from pydra_core._shield.limits import Limits
from pydra_core._shield.output import Output
from pydra_core._shield.spawn import Spawned, spawn
from pydra_core._shield.wire import HEADER, LONGEST
from pydra_core.sdk import SdkSpec

_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker ended.

    Attributes:
        status: As `subprocess` counts: the negative number of a signal, or the exit status.
        trace: What faulthandler or the worker wrote last.
        peak: Bytes it held at most.
        broke: What it did to its channel, for which it was killed; or empty.
        stuck: It is still there: not even SIGKILL ended it. The rest is empty then.
    """

    status: int = 0
    trace: str = ""
    peak: int = 0
    broke: str = ""
    stuck: bool = False

    @property
    def signal(self) -> str:
        """Name of the signal that ended it, or empty."""
        return signal.Signals(-self.status).name if self.status < 0 else ""


class Process:
    """A worker process. `on_frame` gets each answer, `on_end` is told once how it ended, `on_gone` when it is reaped.

    `on_stuck` is told when nothing ends it, before `on_end` is; it may be gone later on. `kill` sends signals; a test hands in one that a hanging kernel would be.
    """

    def __init__(
        self,
        spec: SdkSpec,
        limits: Limits,
        now: Callable[[], float],
        kill: Callable[[int, int], None] = os.kill,
    ) -> None:
        self.on_frame: Callable[[bytes], None] = lambda _: None
        self.on_end: Callable[[Death], None] = lambda _: None
        self.on_gone: Callable[[], None] = lambda: None
        self.on_stuck: Callable[[], None] = lambda: None
        self.death: Death | None = None
        self.gone = asyncio.Event()
        self._limits = limits
        self._kill = kill
        self._output = Output(spec.module, limits, now)
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._broke = ""
        self._unsent = b""
        self._timer: asyncio.TimerHandle | None = None
        self._spawned: Spawned = spawn(spec)
        self._loop.add_reader(self._spawned.pidfd, self._reap)
        self._loop.add_reader(self._spawned.output, self._print)
        self.resume()

    @property
    def pid(self) -> int:
        """The worker's process ID."""
        return self._spawned.process.pid

    def send(self, frame: bytes) -> None:
        """Write a frame, now as far as the socket takes it and the rest when it has room."""
        if self.gone.is_set():
            return
        try:
            sent = self._spawned.channel.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:  # it has just died: the end tells
            return
        if sent < len(frame):
            self._unsent = frame[sent:]
            self._loop.add_writer(self._spawned.channel, self._send_rest)

    def pause(self) -> None:
        """Read no more answers for now: the worker waits when the socket is full."""
        self._loop.remove_reader(self._spawned.channel)

    def resume(self) -> None:
        """Read answers again."""
        if not self.gone.is_set():
            self._loop.add_reader(self._spawned.channel, self._receive)

    def end(self) -> None:
        """Ask for an orderly end by closing the channel, so that the library can shut down; then kill."""
        if self.death:  # it was stuck; perhaps it is no longer
            self.kill()
        elif self._timer is None:
            self.pause()
            with contextlib.suppress(OSError):  # it has just died
                self._spawned.channel.shutdown(socket.SHUT_RDWR)
            self._later(self._limits.grace, self.kill)

    def abort(self) -> None:
        """Make it write a trace of where it hangs, and end; then kill."""
        self._signal(signal.SIGABRT)
        self._later(self._limits.grace, self.kill)

    def refuse(self, broke: str) -> None:
        """Kill it for what it did to its channel; nothing it says is believed any more."""
        if not self.gone.is_set():
            self._broke = broke
            self.pause()
            self.kill()

    def kill(self) -> None:
        """Kill it; when it is still there after a while, call it stuck."""
        self._signal(signal.SIGKILL)
        self._later(self._limits.kill, self._stuck)

    def _signal(self, number: signal.Signals) -> None:
        if not self.gone.is_set():
            self._kill(self.pid, number)

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None if self.gone.is_set() else self._loop.call_later(seconds, then)

    def _stuck(self) -> None:
        if self.death is None:
            self.on_stuck()
        self._tell(Death(stuck=True))

    def _tell(self, death: Death) -> None:
        if self.death is None:
            self.death = death
            self.on_end(death)

    def _send_rest(self) -> None:
        self._loop.remove_writer(self._spawned.channel)
        self.send(self._unsent)

    def _receive(self) -> bool:
        """Read once; returns whether there may be more."""
        try:
            data = self._spawned.channel.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self._take(data)
        elif not self.gone.is_set():  # it is dying, or it closed what is not its own
            self.refuse("closed its channel")
        return bool(data)

    def _take(self, data: bytes) -> None:
        """Hand on complete frames and keep the rest."""
        received = self._received
        received += data
        while len(received) >= HEADER:
            end = HEADER + int.from_bytes(received[:HEADER], "big")
            if end > HEADER + LONGEST:
                received.clear()
                self.refuse("sent rubbish")
            if len(received) < end:
                return
            body = bytes(received[HEADER:end])
            del received[:end]
            self.on_frame(body)

    def _print(self) -> None:
        try:
            data = os.read(self._spawned.output, _CHUNK)
        except BlockingIOError:
            return
        if data:
            self._output.take(data)
        else:
            self._loop.remove_reader(self._spawned.output)

    def _reap(self) -> None:
        """The process ended: take what it left, free what it held, and tell."""
        _, status, usage = os.wait4(self.pid, 0)
        self.gone.set()
        self._later(0, lambda: None)
        while self._receive():
            pass
        self._print()
        self._output.end()
        spawned = self._spawned
        spawned.process.returncode = os.waitstatus_to_exitcode(status)
        for watched in (spawned.pidfd, spawned.output, spawned.channel):
            self._loop.remove_reader(watched)
        self._loop.remove_writer(spawned.channel)
        status, trace = spawned.process.returncode, spawned.read_trace()
        spawned.close()
        broke = self._broke if status == -signal.SIGKILL else ""
        self._tell(Death(status, trace, usage.ru_maxrss * 1024, broke))
        self.on_gone()
