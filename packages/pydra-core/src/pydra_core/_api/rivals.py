"""Notices that somebody else publishes the same pool: an old chart's driver, a second copy with another kubelet root.

Two publishers that undo each other's slices would write for ever, and no pod would ever be placed. After a few
corrections within a minute this one stops, says who the other is, and looks again later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from pydra_core._api.plan import Body

_MOST = 5
_WITHIN = 60.0
_PAUSE, _LONGEST_PAUSE = 60.0, 600.0


class Rivals:
    """Counts the corrections of one pool. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._corrections: deque[float] = deque(maxlen=_MOST)
        self._until = 0.0
        self._pause = _PAUSE

    def corrected(self, now: float) -> bool:
        """Note that what nobody of us changed had to be put right; says whether that was once too often."""
        if self._corrections and now - self._corrections[-1] > _LONGEST_PAUSE:
            self._pause = _PAUSE
        self._corrections.append(now)
        if len(self._corrections) < _MOST or now - self._corrections[0] > _WITHIN:
            return False
        self._until = now + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._corrections.clear()
        self._corrections.append(now)
        return True

    def pause(self, now: float) -> float:
        """Seconds for which nothing is to be written."""
        return max(0.0, self._until - now)


def managers(bodies: Iterable[Body], ours: str) -> tuple[str, ...]:
    """The field managers of these slices that are not ours: the programs that wrote them."""
    return tuple(
        sorted(
            {
                entry["manager"]
                for body in bodies
                for entry in body["metadata"].get("managedFields") or []
                if entry.get("manager", ours) != ours
            }
        )
    )
