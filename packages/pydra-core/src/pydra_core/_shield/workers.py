"""Starts the workers of one SDK module: after a pause when the last one crashed, never beside too many stuck ones."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from pydra_core._shield.breaker import Pauses
from pydra_core._shield.limits import Limits
from pydra_core._shield.observer import Observer, Silence
from pydra_core._shield.process import Process
from pydra_core.sdk import SdkSpec


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all parts of a shield share; tests bring their own clock, and a `kill` that a hanging kernel would be."""

    limits: Limits
    now: Callable[[], float]
    kill: Callable[[int, int], None] = os.kill


class Workers:
    """The workers of one purpose, one after the other."""

    def __init__(self, spec: SdkSpec, around: Surroundings) -> None:
        self.spec = spec
        self.observer: Observer = Silence()
        self._around = around
        self._pauses = Pauses(around.limits)
        self._processes: dict[Process, float] = {}

    @property
    def stuck(self) -> int:
        """How many hang in the kernel now."""
        return sum(map(_is_stuck, self._processes))

    async def start(self) -> Process:
        """Start the next when its time has come.

        Raises:
            HostError: the node has no room for another process.
        """
        if (seconds := self._pauses.left(self._around.now())) > 0:
            await asyncio.sleep(seconds)
        process = Process(self.spec, self._around.limits, self._around.now, self._around.kill)
        self._processes[process] = self._around.now()
        process.on_gone = lambda: self._gone(process)
        return process

    def ended(self, process: Process, reason: str) -> None:
        """Note that it ended, or will, and not because the driver does."""
        now = self._around.now()
        self._pauses.ended(self._processes.get(process, now), now)
        self.observer.vendor_worker_ended(self.spec.module, reason)
        if _is_stuck(process):
            self.observer.vendor_stuck(self.spec.module, 1)

    async def close(self) -> None:
        """End all, and wait until they are gone or proved to be stuck."""
        limits = self._around.limits
        for process in self._processes:
            process.end()
        waits = [asyncio.ensure_future(p.gone.wait()) for p in self._processes]
        if waits:
            _, late = await asyncio.wait(waits, timeout=limits.grace + limits.kill)
            for wait in late:
                wait.cancel()

    def _gone(self, process: Process) -> None:
        del self._processes[process]
        if _is_stuck(process):
            self.observer.vendor_stuck(self.spec.module, -1)


def _is_stuck(process: Process) -> bool:
    return process.death is not None and process.death.stuck
