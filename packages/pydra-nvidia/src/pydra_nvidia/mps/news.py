"""Whether a daemon died since somebody last looked, told when one does: nobody has to look every second."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

_LONGEST = 60.0
"""Seconds after which who waits is answered all the same, so that a connection that is gone is noticed."""


class News:
    """A number that is another one after each death, and after a new start of the keeper."""

    def __init__(self) -> None:
        self._number = time.time_ns()
        self._changed = asyncio.Event()
        self._over = False

    def tell(self) -> None:
        """A daemon died."""
        self._number += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def after(self, seen: int) -> int:
        """The number, once it is another one than was seen; or as it is, after a while or at the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST):
                while seen == self._number and not self._over:
                    await self._changed.wait()
        return self._number

    def end(self) -> None:
        """Answer all who wait, and nobody waits any more."""
        self._over = True
        self._changed.set()
