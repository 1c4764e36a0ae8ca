"""What a driver process hears from outside: stop, reload, show what you are doing; and its background jobs."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

from pydra_core._telemetry.metrics import Metrics
from pydra_core.errors import PydraError

_log = logging.getLogger(__name__)
_LONGEST_PAUSE = 60.0


class Stop:
    """An end that was asked for, and how long it may take."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self._asked = asyncio.Event()
        self._until = 0.0

    def ask(self) -> None:
        """Begin the end; asked again, it stays as it is."""
        if not self._asked.is_set():
            self._until = time.monotonic() + self.grace
            self._asked.set()

    async def wait(self) -> None:
        """Return once somebody asked."""
        await self._asked.wait()

    @property
    def until(self) -> float:
        """Monotonic seconds at which calls in flight are given up; `grace` from now if nobody asked."""
        return self._until or time.monotonic() + self.grace

    @property
    def left(self) -> float:
        """Seconds until then."""
        return max(0.0, self.until - time.monotonic())


@contextmanager
def signals(stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Handle SIGTERM and SIGINT (stop), SIGHUP (reload) and SIGUSR2 (dump stacks) during the block."""
    loop = asyncio.get_running_loop()
    handlers = {
        signal.SIGTERM: stop,
        signal.SIGINT: stop,
        signal.SIGHUP: reload,
        signal.SIGUSR2: dump_stacks,
    }
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


def dump_stacks() -> None:
    """Log where every thread and every task is."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 (the documented way)
        stack = _places(f for f, _ in traceback.walk_stack(frame))
        _log.warning("stack of a thread", extra={"of": names.get(ident, ident), "stack": stack})
    for task in asyncio.all_tasks():
        stack = _places(task.get_stack())
        _log.warning("stack of a task", extra={"of": task.get_name(), "stack": stack})


def _places(frames: Iterable[FrameType]) -> str:
    """Where frames are; without their source, which frames of compiled modules do not have."""
    return " < ".join(f"{f.f_code.co_filename}:{f.f_lineno} {f.f_code.co_name}" for f in frames)


@asynccontextmanager
async def background(metrics: Metrics, *jobs: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run jobs beside the block and cancel them after it."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(_keep_running(job, metrics)) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def is_cancelled() -> bool:
    """Whether somebody wants the running task to end; a `CancelledError` may also come from what it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _keep_running(job: Callable[[], Awaitable[None]], metrics: Metrics) -> None:
    """The boundary of a background task: an error is logged with its trace and the job starts again.

    The pause doubles up to a minute while the job keeps failing, and is short again once it ran for a minute.
    """
    delay = 1.0
    while True:
        started = time.monotonic()
        try:
            await job()
        except (Exception, asyncio.CancelledError) as err:
            if is_cancelled():
                raise
            reason = err.reason if isinstance(err, PydraError) else "Unexpected"
            metrics.background_error(reason)
            _log.exception(
                "background job failed and starts again", extra={"reason": reason, "seconds": delay}
            )
        await asyncio.sleep(delay)
        delay = (
            1.0 if time.monotonic() - started > _LONGEST_PAUSE else min(delay * 2, _LONGEST_PAUSE)
        )
