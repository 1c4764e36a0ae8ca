"""What a library prints goes to the log, a few lines at a time: some print megabytes when they are unhappy."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pydra_core._shield.limits import Limits

_log = logging.getLogger(__name__)
_LONGEST_LINE = 500


class Output:
    """The lines of one worker."""

    def __init__(self, module: str, limits: Limits, now: Callable[[], float]) -> None:
        self._module = module
        self._limits = limits
        self._now = now
        self._rest = b""
        self._window = now()
        self._lines = 0
        self._dropped = 0

    def take(self, data: bytes) -> None:
        """Log what is complete; the rest waits for its end, and no longer than a line may be."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._say(line)

    def end(self) -> None:
        """Log what is left."""
        if self._rest:
            self._say(self._rest)
        self._rest = b""
        self._tell_dropped()

    def _say(self, line: bytes) -> None:
        if self._now() - self._window >= self._limits.window:
            self._tell_dropped()
            self._window, self._lines = self._now(), 0
        if self._lines >= self._limits.lines:
            self._dropped += 1
            return
        self._lines += 1
        text = line[:_LONGEST_LINE].decode(errors="replace").rstrip()
        if text:
            _log.info("vendor library printed", extra={"sdk": self._module, "line": text})

    def _tell_dropped(self) -> None:
        if self._dropped:
            details = {"sdk": self._module, "lines": self._dropped}
            _log.warning("vendor library printed more than the log takes", extra=details)
        self._dropped = 0
