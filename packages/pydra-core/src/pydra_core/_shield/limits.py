"""How patient the shield is. Everything in this room takes these as a value, so that tests can be quick."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """All times in seconds.

    Attributes:
        start: A worker may take to load its SDK module; some libraries initialise hardware there.
        first_pause: Before a worker is started again; the first time after a healthy while there is none.
        longest_pause: It doubles up to this; calls of other operations wait meanwhile, so it is short.
        healthy: A worker that lived this long made the pauses short again.
        crashes: So many in a row of one operation, and it is quarantined.
        quarantine: The first lasts this long; then one call is let through to see, and it doubles on failure.
        longest_quarantine: It doubles up to this.
        grace: Between SIGABRT, which makes a trace, and SIGKILL; also for an orderly end.
        kill: After SIGKILL a worker that is still there is given up: it hangs in the kernel.
        stuck: So many given-up workers of one library, and no further one is started.
        lines: Lines of a library's output that go to the log in each `window`.
        window: See `lines`.
    """

    start: float = 60.0
    first_pause: float = 0.1
    longest_pause: float = 5.0
    healthy: float = 60.0
    crashes: int = 3
    quarantine: float = 30.0
    longest_quarantine: float = 600.0
    grace: float = 0.5
    kill: float = 5.0
    stuck: int = 2
    lines: int = 20
    window: float = 10.0
