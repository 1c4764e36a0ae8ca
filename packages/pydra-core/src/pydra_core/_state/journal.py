"""The journal as the event loop sees it: transactions one after the other, one sync for all that wait for it.

A transaction looks at the ledger, decides, and returns the records to append; what one decides the next one
sees. Calls that arrive while a sync is under way share the next one (group commit), which is why a hundred
claims at once cost two syncs and not a hundred. All file work happens in one thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from pydra_core._state.ledger import Ledger
from pydra_core._state.log_file import LogFile
from pydra_core._state.records import Record

_log = logging.getLogger(__name__)

Change: TypeAlias = Callable[[Ledger], Sequence[Record]]
"""Runs in the journal's thread: may raise (nothing is written then), returns the records to append."""

_COMPACT_ABOVE = 1 << 20


class Journal:
    """Open with `Journal(path)` (blocking, at start-up), then `transact` from one event loop, then `close`."""

    def __init__(self, path: Path) -> None:
        """Open, repair and replay. Raises what `LogFile` raises."""
        self._file = LogFile(path)
        self._compact_at = max(_COMPACT_ABOVE, 2 * self._file.size)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._submitted = 0
        self._covered = 0
        self._sync: asyncio.Future[None] | None = None
        self._next_sync: asyncio.Task[None] | None = None

    @property
    def ledger(self) -> Ledger:
        """For reading; only transactions change it."""
        return self._file.ledger

    async def transact(self, change: Change, *, durable: bool) -> None:
        """Run `change` and append what it returns; with `durable`, return only once that is on disk.

        Raises whatever `change` raises, and `HostError` if the file cannot be written or synced: then the
        ledger is as before, except for a reservation.
        """
        self._submitted = ticket = self._submitted + 1
        await asyncio.get_running_loop().run_in_executor(self._thread, self._apply, change, durable)
        if durable:
            await self._synced(ticket)

    async def close(self) -> None:
        """Finish what is under way, then close the file."""
        waiting = [sync for sync in (self._next_sync, self._sync) if sync is not None]
        await asyncio.gather(*waiting, return_exceptions=True)
        self._thread.shutdown(wait=True)
        self._file.close()

    def _apply(self, change: Change, durable: bool) -> None:  # noqa: FBT001 (executors pass by position)
        self._file.append(change(self._file.ledger), durable=durable)

    async def _synced(self, ticket: int) -> None:
        """Return after a sync that the journal's thread ran after the change with that number."""
        if self._sync is not None and ticket <= self._covered:
            await asyncio.shield(self._sync)
            return
        if self._next_sync is None:
            self._next_sync = asyncio.get_running_loop().create_task(self._start_sync())
        await asyncio.shield(self._next_sync)

    async def _start_sync(self) -> None:
        if self._sync is not None:  # whoever comes while it runs shares this one
            await asyncio.wait([self._sync])
        self._next_sync, self._covered = None, self._submitted
        loop = asyncio.get_running_loop()
        self._sync = loop.run_in_executor(self._thread, self._sync_file)
        await asyncio.shield(self._sync)

    def _sync_file(self) -> None:
        self._file.sync()
        if self._file.size < self._compact_at:
            return
        try:
            self._file.rewrite()
        except OSError as err:  # what was synced is on disk either way
            details = {"path": self._file.path, "why": err.strerror}
            _log.warning("journal could not be compacted; free space on its disk", extra=details)
        self._compact_at = max(_COMPACT_ABOVE, 2 * self._file.size)
