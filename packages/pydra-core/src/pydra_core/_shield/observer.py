"""What the shield reports of itself. Metrics implement it; a driver without metrics has none."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Counts. Operation names come from the SDK module, so that they are few."""

    def vendor_call(self, operation: str, reason: str, seconds: float) -> None:
        """One operation ended; `reason` is empty for success or an error's constant reason."""

    def vendor_worker_ended(self, module: str, reason: str) -> None:
        """A worker ended that should not have, or was replaced."""

    def vendor_quarantined(self, module: str, operations: int) -> None:
        """So many operations are refused now."""

    def vendor_stuck(self, module: str, change: int) -> None:
        """So many more, or fewer, workers cannot be killed now."""


class Silence:
    """The observer of a shield nobody watches."""

    def vendor_call(self, operation: str, reason: str, seconds: float) -> None:
        """Nobody counts."""

    def vendor_worker_ended(self, module: str, reason: str) -> None:
        """Nobody counts."""

    def vendor_quarantined(self, module: str, operations: int) -> None:
        """Nobody counts."""

    def vendor_stuck(self, module: str, change: int) -> None:
        """Nobody counts."""
