"""A bell that several tasks can wait for: each waits for the next ring after it took its ticket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class Wakeup:
    """Take a ticket before looking at things, wait for it afterwards: no ring is missed."""

    def __init__(self) -> None:
        self._ticket = asyncio.Event()

    def ticket(self) -> asyncio.Event:
        """Set by the next `ring`."""
        return self._ticket

    def ring(self) -> None:
        """Wake everyone who holds a ticket."""
        self._ticket.set()
        self._ticket = asyncio.Event()


class Gathered:
    """Names that one side puts in, one after another, and another takes out together."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._there = asyncio.Event()

    def put(self, names: Iterable[str]) -> None:
        """Add names; nobody is waited for."""
        self._names.update(names)
        if self._names:
            self._there.set()

    async def take(self) -> set[str]:
        """All that were put in since the last time; waits until there are some."""
        await self._there.wait()
        self._there.clear()
        names, self._names = self._names, set()
        return names
