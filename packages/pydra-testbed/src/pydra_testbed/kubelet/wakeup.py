"""A bell that several tasks can wait for: each waits for the next ring after it took its ticket."""

from __future__ import annotations

import asyncio


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
