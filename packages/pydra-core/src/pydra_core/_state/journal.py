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
from pydra_core.errors import HostError

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
        self._syncing = asyncio.Lock()
        self._next_sync: asyncio.Task[None] | None = None

    @property
    def ledger(self) -> Ledger:
        """For reading; only transactions change it."""
        return self._file.ledger

    async def transact(self, change: Change, *, durable: bool) -> None:
        """Run `change` and append what it returns; with `durable`, return only once that is on disk.

        Raises whatever `change` raises, and `HostError` if the file cannot be written or synced.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._apply, change)
        if durable:
            await self._synced()

    async def close(self) -> None:
        """Finish what is under way, then close the file."""
        if self._next_sync is not None:
            await asyncio.gather(self._next_sync, return_exceptions=True)
        async with self._syncing:
            self._thread.shutdown(wait=True)
            self._file.close()

    def _apply(self, change: Change) -> None:
        for record in change(self._file.ledger):
            self._file.append(record)

    async def _synced(self) -> None:
        """Return after a sync that began after this call."""
        if self._next_sync is None:
            self._next_sync = asyncio.get_running_loop().create_task(self._sync())
        await asyncio.shield(self._next_sync)

    async def _sync(self) -> None:
        async with (
            self._syncing
        ):  # the sync in flight may have begun before our record: wait it out
            self._next_sync = None
            await asyncio.get_running_loop().run_in_executor(self._thread, self._sync_file)

    def _sync_file(self) -> None:
        self._file.sync()
        if self._file.size < self._compact_at:
            return
        try:
            self._file.compact()
        except HostError:  # the old file is whole and goes on being used
            _log.exception("journal could not be compacted", extra={"path": self._file.path})
        self._compact_at = max(_COMPACT_ABOVE, 2 * self._file.size)
