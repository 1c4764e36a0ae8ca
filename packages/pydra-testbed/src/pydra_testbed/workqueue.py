"""A level-triggered work queue: keys, not events, are queued, and one key is never worked on twice at once.

Used by the testbed's controllers. A key added while it waits is coalesced, one added while it is being
worked on is done again afterwards. A failed key comes back after a pause that doubles.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from pydra_testbed.clock import Clock
from pydra_testbed.objects import ApiStatusError

_log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 60.0
_CONFLICT = 409

Reconcile = Callable[[str], Awaitable[None]]


class WorkQueue:
    """Calls `reconcile(key)` for each key added, at most `workers` at a time."""

    def __init__(self, clock: Clock, reconcile: Reconcile, *, workers: int = 4) -> None:
        self._clock = clock
        self._reconcile = reconcile
        self._workers = workers
        self._waiting: deque[str] = deque()
        self._queued: set[str] = set()
        self._working: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._group: asyncio.TaskGroup | None = None
        self._ready = asyncio.Semaphore(0)

    def add(self, key: str) -> None:
        """Have the key reconciled soon."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._waiting.append(key)
            self._ready.release()

    def add_after(self, key: str, seconds: float) -> None:
        """Have the key reconciled in so many seconds, or sooner when that was asked for already."""
        due = self._clock.monotonic() + max(seconds, 0.0)
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        if self._group is not None:
            self._group.create_task(self._at(key, due))

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for key, due in self._due.items():
                group.create_task(self._at(key, due))
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            await self._ready.acquire()
            key = self._waiting.popleft()
            self._queued.discard(key)
            self._working.add(key)
            try:
                await self._reconcile(key)
                self._failures.pop(key, None)
            except ApiStatusError as problem:
                self._retry(key, problem)
            finally:
                self._working.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)
            await self._clock.sleep(0)  # A local API never waits: let others run.

    def _retry(self, key: str, problem: ApiStatusError) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(_FIRST_PAUSE * 2 ** min(failures - 1, 20), _LONGEST_PAUSE)
        level = logging.DEBUG if problem.code == _CONFLICT else logging.WARNING
        extra = {"key": key, "code": problem.code, "error": problem.message, "pause": pause}
        _log.log(level, "reconciling failed, trying again", extra=extra)
        if self._group is not None:
            self._group.create_task(self._later(key, pause))

    async def _at(self, key: str, due: float) -> None:
        await self._clock.sleep(due - self._clock.monotonic())
        if self._due.get(key) == due:
            del self._due[key]
            self.add(key)

    async def _later(self, key: str, pause: float) -> None:
        await self._clock.sleep(pause)
        self.add(key)
