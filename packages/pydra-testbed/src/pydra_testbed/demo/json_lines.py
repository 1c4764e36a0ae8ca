"""The demo for programs: one JSON object a line, `kind` and `at`, seconds since the start, before the event's fields."""

from __future__ import annotations

import time
from typing import TextIO

import msgspec

from pydra_testbed.demo import events


class JsonTeller:
    """Writes each event as it comes."""

    def __init__(self, out: TextIO, started: float) -> None:
        self._out = out
        self._started = started

    def tell(self, event: events.Event) -> None:
        """Write one line. `started` and this moment are seconds of `time.monotonic()`."""
        seconds = round(time.monotonic() - self._started, 3)
        line = {"kind": type(event).__name__, "at": seconds, **msgspec.to_builtins(event)}
        self._out.write(msgspec.json.encode(line).decode() + "\n")
        self._out.flush()
