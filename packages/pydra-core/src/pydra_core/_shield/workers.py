"""Starts the workers of one purpose, calls or one stream of events: after a pause when the last one crashed."""

from __future__ import annotations

import asyncio

from pydra_core._shield.breaker import Pauses
from pydra_core._shield.process import Process
from pydra_core._shield.ward import Ward


class Workers:
    """The workers of one purpose, one after the other."""

    def __init__(self, ward: Ward) -> None:
        self._ward = ward
        self._around = ward.around
        self._pauses = Pauses(ward.around.limits)
        self._processes: dict[Process, float] = {}

    async def start(self) -> Process:
        """Start the next when its time has come.

        Raises:
            HostError: the node has no room for another process.
        """
        if (seconds := self._pauses.left(self._around.now())) > 0:
            await asyncio.sleep(seconds)
        around = self._around
        process = Process(self._ward.spec, around.limits, around.now, around.kill)
        self._processes[process] = around.now()
        process.on_stuck = lambda: self._ward.stuck(1)
        process.on_gone = lambda: self._gone(process)
        return process

    def ended(self, process: Process, reason: str) -> None:
        """Note that it ended, or will, and not because the driver does."""
        now = self._around.now()
        self._pauses.ended(self._processes.get(process, now), now)
        self._ward.observer.vendor_worker_ended(self._ward.spec.module, reason)

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
        if process.death and process.death.stuck:
            self._ward.stuck(-1)
