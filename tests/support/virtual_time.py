"""An event loop whose clock goes on only when there is nothing left to do: hours of waiting pass at once.

For parts that run with the server they talk to in one process: bytes on a loopback socket are there as soon as they
are sent, so an idle loop is waiting for a timer and for nothing else.
"""

from __future__ import annotations

import asyncio
import selectors
import time

_SURE = 0.001
"""Real seconds in which the kernel surely has handed over what was sent."""


class _Selector(selectors.DefaultSelector):
    def __init__(self):
        super().__init__()
        self.now = 0.0

    def select(self, timeout=None):
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            return super().select(None)
        if not (events := super().select(_SURE)):
            self.now += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 1000, as `time.monotonic` does somewhere."""

    def __init__(self):
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self):
        return 1000.0 + self._virtual.now


def run(main, monkeypatch):
    """Run a coroutine in virtual time, which is `time.monotonic` meanwhile."""
    loop = VirtualLoop()
    monkeypatch.setattr(time, "monotonic", loop.time)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
