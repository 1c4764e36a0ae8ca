"""Pools the API server refuses: what is wrong with one of them does not keep the others from it.

Called by the publisher while it writes. A refused pool is tried again after a pause that grows, beside the watch, so
that a slice of another pool that is wiped meanwhile is back at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

from pydra_core._api.plan import Body, Write
from pydra_core.errors import ApiError

_CONFLICT, _GONE = 409, 410
_FASTEST, _SLOWEST = 0.2, 30.0


class Refusals:
    """What was refused in one go through a plan, and when to go through it again."""

    def __init__(self, again: Callable[[], None]) -> None:
        """Begin. `again` has the publisher compare anew."""
        self.pause = 0.0
        self._again = again
        self._timer: asyncio.TimerHandle | None = None
        self._errors: dict[str, ApiError] = {}
        self._devices: set[str] = set()

    def begin(self) -> None:
        """Go through a plan from its beginning."""
        self._errors.clear()
        self._devices.clear()
        if self._timer:
            self._timer.cancel()

    def add(self, write: Write, err: ApiError, existing: Iterable[Body]) -> None:
        """Take note of a refusal; `existing` is what the API holds now. Raises `err` if it may pass by itself."""
        if err.patience or err.status in (_CONFLICT, _GONE):
            raise err
        pool = _pool(write.body)
        self._errors.setdefault(pool, err)
        self._devices |= {d for body in existing if _pool(body) == pool for d in _names(body)}

    def stop(self, write: Write) -> bool:
        """Whether a write must wait: it is of such a pool, or takes a device over that such a pool still has."""
        return _pool(write.body) in self._errors or not self._devices.isdisjoint(_names(write.body))

    def end(self) -> ApiError | None:
        """What was refused first, if anything was; then the plan is gone through again after `pause` seconds."""
        if not self._errors:
            self.pause = 0.0
            return None
        self.pause = min(max(_FASTEST, self.pause * 2), _SLOWEST)
        self._timer = asyncio.get_running_loop().call_later(self.pause, self._again)
        return next(iter(self._errors.values()))


def _pool(body: Body) -> str:
    return str(body["spec"]["pool"]["name"])


def _names(body: Body) -> Iterator[str]:
    return (device["name"] for device in body["spec"].get("devices") or [])
