"""Back-off that doubles, one per key, as the kubelet's plugin manager keeps it per socket path."""

from __future__ import annotations

from dataclasses import dataclass

from pydra_testbed.clock import Clock


@dataclass(frozen=True, slots=True)
class _Failure:
    at: float
    pause: float


class DoublingBackoff:
    """After a failure of `key` nothing is tried for `first` seconds, then twice that, up to `cap`."""

    def __init__(self, clock: Clock, first: float, cap: float) -> None:
        self._clock = clock
        self._first = first
        self._cap = cap
        self._failures: dict[str, _Failure] = {}

    def ready(self, key: str) -> bool:
        """Whether the pause is over; exactly at its end it is not."""
        failure = self._failures.get(key)
        return failure is None or self._clock.monotonic() - failure.at > failure.pause

    def failed(self, key: str) -> None:
        """Start the next, longer pause."""
        last = self._failures.get(key)
        pause = self._first if last is None else min(last.pause * 2, self._cap)
        self._failures[key] = _Failure(self._clock.monotonic(), pause)

    def succeeded(self, key: str) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)
