"""What holds of each device now: fed by the driver's `watch_health`, read by all who tell of it.

The parts that tell (`stream`, the publisher's taints, claims' status, events) are called with the devices whose
state changed, and read the rest here when they are ready to: nothing queues up, the latest state wins.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace

from pydra_core._api.pools import local_name
from pydra_core._api.wanted import Key
from pydra_core._node.health.states import State, due, observe, settle, unknown
from pydra_core._telemetry.metrics import Metrics
from pydra_core.health import DeviceHealth, Health, HealthPolicy

_log = logging.getLogger(__name__)
_BATCH = 256
"""Devices that are looked at in one go, so that the loop is never held for long."""
_GATHER = 0.02
_LINES = 10
"""Devices whose change has a log line of its own when many change at once."""


class Board:
    """All devices of one driver; `changed` callbacks hear which ones are told differently from now on."""

    def __init__(self, node: str, policy: HealthPolicy, metrics: Metrics) -> None:
        self.states: dict[Key, State] = {}
        self.is_counted = True
        """Whether the metric tells of it: of a driver that watches no health nobody wants to hear."""
        self.listeners: list[Callable[[frozenset[Key]], None]] = []
        self._node = node
        self._policy = policy
        self._metrics = metrics
        self._pending: set[Key] = set()
        self._wake = asyncio.Event()
        self._counts = dict.fromkeys(Health, 0)
        self._news: set[Key] = set()
        self._changes: list[tuple[Health, DeviceHealth]] = []
        self._telling = False

    def set_devices(self, keys: Iterable[Key]) -> None:
        """Take over which devices there are; what is known of those that stay is kept."""
        wanted = dict.fromkeys(keys)
        gone = self.states.keys() - wanted.keys()
        new = [key for key in wanted if key not in self.states]
        for key in gone:
            self._count(self.states.pop(key), -1)
            self._pending.discard(key)
        for key in new:
            self.states[key] = unknown(*key)
            self._count(self.states[key], 1)
        self._news.update(gone, new)
        self._tell_soon()

    def health(self, key: Key) -> DeviceHealth | None:
        """What holds of a device; None if there is none of that name."""
        state = self.states.get(key)
        return state.holds if state else None

    def is_observed(self, key: Key) -> bool:
        """Whether anybody has looked at the device since this process began."""
        state = self.states.get(key)
        return state is not None and state.seen is not None

    async def follow(self, observations: AsyncIterator[DeviceHealth]) -> None:
        """Take in what a driver sees until it ends; nothing is known of healthy devices after that."""
        count = 0
        try:
            async for seen in observations:
                self._observe(seen)
                count += 1
                if count % _BATCH == 0:
                    await asyncio.sleep(0)
        finally:
            await self._forget()

    async def settle(self) -> None:
        """Let observations hold when they have lasted for long enough. Until cancelled."""
        while True:
            self._wake.clear()
            now = time.monotonic()
            for key in tuple(self._pending):
                self._put(key, settle(self.states[key], now, self._policy))
            times = [t for k in self._pending if (t := due(self.states[k], self._policy))]
            wait = min(times) - now if times else None
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _observe(self, seen: DeviceHealth) -> None:
        names = (
            local_name(seen.pool, self._node),
            seen.pool,
        )  # a node's pool, or one of the cluster
        key = next(
            (k for n in names if (k := (n, seen.device)) in self.states), (names[0], seen.device)
        )
        state = self.states.get(key)
        if state is None:
            _log.debug("health of a device that is not published", extra={"device": seen.device})
            return
        known = replace(seen, pool=key[0], reason=_text(seen.reason), message=_text(seen.message))
        self._put(key, observe(state, known, time.monotonic(), self._policy))

    async def _forget(self) -> None:
        for index, (key, state) in enumerate(tuple(self.states.items())):
            if key in self.states and state.seen:
                seen = DeviceHealth(device=key[1], pool=key[0], health=Health.UNKNOWN)
                self._put(key, observe(state, seen, time.monotonic(), self._policy))
            if index % _BATCH == 0:
                await asyncio.sleep(0)

    def _put(self, key: Key, state: State) -> None:
        before = self.states[key]
        self.states[key] = state
        if due(state, self._policy) is None:
            self._pending.discard(key)
        elif key not in self._pending:
            self._pending.add(key)
            self._wake.set()
        if before.holds != state.holds:
            self._count(before, -1)
            self._count(state, 1)
            if before.holds.health != state.holds.health:
                self._changes.append((before.holds.health, state.holds))
            self._news.add(key)
            self._tell_soon()

    def _count(self, state: State, by: int) -> None:
        self._counts[state.holds.health] += by

    def _tell_soon(self) -> None:
        """Tell once of all that changes within a moment."""
        if self._news and not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_later(_GATHER, self._tell)

    def _tell(self) -> None:
        news, changes = frozenset(self._news), tuple(self._changes)
        self._news.clear()
        self._changes.clear()
        self._telling = False
        if self.is_counted:
            self._metrics.set_health(self._counts)
        _report(changes, self._metrics)
        for listener in self.listeners:
            listener(news)


def _text(said: str) -> str:
    """What is no Unicode, as Python reads bytes that are none, escaped: neither protobuf nor JSON takes it."""
    return said if said.isascii() else said.encode(errors="backslashreplace").decode()


def _report(changes: Sequence[tuple[Health, DeviceHealth]], metrics: Metrics) -> None:
    """Log what became worse or better; many at once are one line."""
    for health, count in Counter(after.health for _, after in changes).items():
        metrics.health_changes_of(health, count)
    told = [
        after
        for before, after in changes
        if (before, after.health) != (Health.UNKNOWN, Health.HEALTHY)
    ]
    for now in told[:_LINES]:
        level = logging.WARNING if now.health is Health.UNHEALTHY else logging.INFO
        details = {"device": now.device, "pool": now.pool, "health": str(now.health)}
        _log.log(level, "health changed", extra={**details, "why": now.message or now.reason})
    if len(told) > _LINES:
        _log.warning("health of more devices changed", extra={"devices": len(told) - _LINES})
