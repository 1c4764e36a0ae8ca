from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from pydra_testbed.clock import ManualClock, settle
from pydra_testbed.objects import ApiStatusError
from pydra_testbed.workqueue import WorkQueue


class Work:
    """Reconciles on command: each call waits until it is let go."""

    def __init__(self, *, fail=0) -> None:
        self.calls = []
        self.running = []
        self.most = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures = fail

    async def __call__(self, key):
        self.calls.append(key)
        self.running.append(key)
        self.most[key] = max(self.most.get(key, 0), self.running.count(key))
        try:
            await self.gate.wait()
            if self.failures:
                self.failures -= 1
                raise ApiStatusError(500, "InternalError", "not now")
        finally:
            self.running.remove(key)


@asynccontextmanager
async def working(work, clock=None, **options):
    queue = WorkQueue(clock or ManualClock(), work, **options)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        work.gate.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_key_that_waits_is_not_queued_twice():
    work = Work()
    async with working(work) as queue:
        for _ in range(3):
            queue.add("a")
        await settle()
    assert work.calls == ["a"]


async def test_a_key_added_while_it_is_worked_on_is_done_once_more_and_never_twice_at_once():
    work = Work()
    work.gate.clear()
    async with working(work) as queue:
        queue.add("a")
        await settle()
        queue.add("a")
        queue.add("a")
        await settle()
        assert work.calls == ["a"]
        work.gate.set()
        await settle()
    assert work.calls == ["a", "a"]
    assert work.most == {"a": 1}


async def test_other_keys_go_on_while_one_is_stuck():
    work = Work()
    work.gate.clear()
    async with working(work, workers=2) as queue:
        queue.add("stuck")
        queue.add("other")
        await settle()
        assert sorted(work.running) == ["other", "stuck"]


async def test_a_failed_key_comes_back_after_pauses_that_double():
    clock, work = ManualClock(), Work(fail=3)
    async with working(work, clock) as queue:
        queue.add("a")
        await settle()
        for pause, calls in ((0.005, 2), (0.01, 3), (0.02, 4)):
            await clock.advance(pause * 0.9)
            assert len(work.calls) == calls - 1
            await clock.advance(pause * 0.1)
            assert len(work.calls) == calls
        await clock.advance(100)
        assert len(work.calls) == 4
