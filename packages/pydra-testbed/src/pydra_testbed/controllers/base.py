"""What most controllers are made of: copies of what they watch, a queue of keys, one key at a time."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar

from pydra_testbed.clock import Clock
from pydra_testbed.objects import Api, ApiStatusError
from pydra_testbed.reflector import Change, Reflectors
from pydra_testbed.workqueue import WorkQueue

NOT_FOUND = 404


class Controller(ABC):
    """Watches `resources`, turns changes into keys and reconciles them until cancelled."""

    resources: ClassVar[tuple[str, ...]]

    def __init__(self, api: Api, clock: Clock) -> None:
        self.api = api
        self.clock = clock
        self.queue = WorkQueue(clock, self._reconcile)
        self.seen = Reflectors(api, clock, self.watched(), self.on_change)

    def watched(self) -> tuple[str, ...]:
        """The resources to watch."""
        return self.resources

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.seen.run())
            await self.seen.synced()
            group.create_task(self.queue.run())

    @abstractmethod
    def on_change(self, change: Change) -> None:
        """Add the keys that a change concerns to the queue."""

    @abstractmethod
    async def reconcile(self, key: str) -> None:
        """Bring one key into order; `ApiStatusError` brings it back after a pause, a missing object does not."""

    async def _reconcile(self, key: str) -> None:
        try:
            await self.reconcile(key)
        except ApiStatusError as problem:
            if problem.code != NOT_FOUND:
                raise
