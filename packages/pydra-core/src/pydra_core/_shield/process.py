"""One worker process on the event loop: its channel, what it prints, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from pydra_core._shield.channel import CHUNK, Channel
from pydra_core._shield.limits import Limits
from pydra_core._shield.output import Output
from pydra_core._shield.spawn import Spawned, spawn
from pydra_core.sdk import SdkSpec


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
        """Name of the signal that ended it, or empty. Most real-time signals have a number only."""
        if self.status >= 0:
            return ""
        number = -self.status
        return next((s.name for s in signal.Signals if s == number), f"signal {number}")


class Process:
    """A worker process. `on_end` is told once how it ended, `on_gone` when it is reaped; its `channel` gets answers.

    `on_stuck` is told when nothing ends it, before `on_end` is; it may be gone later on. `kill` sends signals; a test hands in one that a hanging kernel would be.
    """

    def __init__(
        self,
        spec: SdkSpec,
        limits: Limits,
        now: Callable[[], float],
        kill: Callable[[int, int], None] = os.kill,
    ) -> None:
        self.on_end: Callable[[Death], None] = lambda _: None
        self.on_gone: Callable[[], None] = lambda: None
        self.on_stuck: Callable[[], None] = lambda: None
        self.death: Death | None = None
        self.gone = asyncio.Event()
        self._limits = limits
        self._kill = kill
        self._output = Output(spec.module, limits, now)
        self._loop = asyncio.get_running_loop()
        self._broke = ""
        self._timer: asyncio.TimerHandle | None = None
        self._spawned: Spawned = spawn(spec)
        self._loop.add_reader(self._spawned.pidfd, self._reap)
        self._loop.add_reader(self._spawned.output, self._print)
        self.channel = Channel(self._spawned.requests, self._spawned.answers, self.refuse)
        self.channel.on_closed = self._closed
        self.channel.resume()

    @property
    def pid(self) -> int:
        """The worker's process ID."""
        return self._spawned.process.pid

    def end(self) -> None:
        """Ask for an orderly end by closing the channel, so that the library can shut down; then kill."""
        if self.death:  # it was stuck; perhaps it is no longer
            self.kill()
        elif self._timer is None:
            self.channel.close()
            self._later(self._limits.grace, self.kill)

    def abort(self) -> None:
        """Make it write a trace of where it hangs, and end; then kill."""
        self._signal(signal.SIGABRT)
        self._later(self._limits.grace, self.kill)

    def refuse(self, broke: str) -> None:
        """Kill it for what it did to its channel; nothing it says is believed any more."""
        if not self.gone.is_set():
            self._broke = broke
            self.channel.pause()
            self.kill()

    def _closed(self) -> None:
        """Mostly it is dying, and how it ends says more: killed by the kernel for its memory, for instance."""
        self.channel.pause()
        self._later(self._limits.grace, lambda: self.refuse("closed its channel"))

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

    def _print(self) -> None:
        try:
            data = os.read(self._spawned.output, CHUNK)
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
        while self.channel.receive():
            pass
        self._print()
        self._output.end()
        spawned = self._spawned
        spawned.process.returncode = os.waitstatus_to_exitcode(status)
        for watched in (spawned.pidfd, spawned.output):
            self._loop.remove_reader(watched)
        self.channel.close()
        status, trace = spawned.process.returncode, spawned.read_trace()
        spawned.close()
        broke = self._broke if status == -signal.SIGKILL else ""
        self._tell(Death(status, trace, usage.ru_maxrss * 1024, broke))
        self.on_gone()
