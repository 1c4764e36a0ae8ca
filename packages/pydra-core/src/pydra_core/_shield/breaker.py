"""Which operations are quarantined, and how long a crashed worker is left alone: plain arithmetic over a clock."""

from __future__ import annotations

from dataclasses import dataclass

from pydra_core._shield.limits import Limits


@dataclass(slots=True)
class _Record:
    crashes: int = 0
    length: float = 0.0
    until: float = 0.0


class Breaker:
    """Quarantine for operations that keep crashing, each for itself."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._records: dict[str, _Record] = {}

    def wait(self, name: str, now: float) -> float:
        """Seconds for which the operation is still refused; 0 lets it through, the first time as a probe."""
        record = self._records.get(name)
        return max(0.0, record.until - now) if record and record.length else 0.0

    def crashed(self, name: str, now: float) -> bool:
        """Note a crash; returns whether the operation is quarantined from now on."""
        record = self._records.setdefault(name, _Record())
        record.crashes += 1
        if record.crashes < self._limits.crashes:
            return False
        longest = self._limits.longest_quarantine
        record.length = min(record.length * 2, longest) or self._limits.quarantine
        record.until = now + record.length
        return True

    def succeeded(self, name: str) -> bool:
        """Note an answer, be it an error; returns whether a quarantine is over with it."""
        record = self._records.pop(name, None) if self._records else None
        return record is not None and record.length > 0

    @property
    def quarantined(self) -> int:
        """How many operations are quarantined or on probation."""
        return sum(1 for record in self._records.values() if record.length)


class Pauses:
    """The growing pause before a worker is started again."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._next = 0.0
        self._not_before = 0.0

    def ended(self, started: float, now: float) -> None:
        """Note the end of a worker that was started at `started`."""
        if now - started >= self._limits.healthy:
            self._next = 0.0
        self._not_before = now + self._next
        longest = self._limits.longest_pause
        self._next = min(self._next * 2, longest) or self._limits.first_pause

    def left(self, now: float) -> float:
        """Seconds until the next may be started."""
        return max(0.0, self._not_before - now)
