"""The journal as the event loop sees it: transactions one after the other, one sync for all that wait for it.

A transaction looks at the ledger, decides, and returns the records to append; what one decides the next one
sees. All that were asked for while the thread was busy run in its next turn, under one lock and with one sync
(group commit), which is why a hundred claims at once cost a few syncs and not a hundred.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydra_core._state.ledger import Ledger
from pydra_core._state.locks import LockFile
from pydra_core._state.log_file import LogFile
from pydra_core._state.records import Record
from pydra_core.errors import HostError, PydraError

_log = logging.getLogger(__name__)

Change: TypeAlias = Callable[[Ledger], Sequence[Record]]
"""May raise (nothing is written then), returns the records to append. Runs in the journal's thread, or at once."""

_COMPACT_ABOVE = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class _Transaction:
    change: Change
    durable: bool
    done: asyncio.Future[None]


_Outcome: TypeAlias = tuple[_Transaction, BaseException | None]


class Journal:
    """Open with `Journal(path)` (blocking, at start-up), then `transact` from one event loop, then `close`."""

    def __init__(self, path: Path) -> None:
        """Open, repair and replay. Raises what `LockFile` and `LogFile` raise."""
        self.locks = LockFile(path.with_name(f"{path.name}.lock"))
        try:
            self._file = LogFile(path, self.locks)
        except BaseException:
            self.locks.close()
            raise
        self._compact_at = max(_COMPACT_ABOVE, 2 * self._file.size)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._waiting: list[_Transaction] = []
        self._busy: asyncio.Future[None] | None = None
        self._called = False
        self.changed: list[Callable[[], None]] = []
        """Called when the ledger is another than before, whoever wrote it."""
        self._seen = (id(self.ledger), self.ledger.version)

    @property
    def ledger(self) -> Ledger:
        """For reading; only transactions change it. Ask anew after each wait: another instance may write."""
        return self._file.ledger

    @property
    def adopts(self) -> bool:
        """Whether it was lost or damaged before this start, so that spec files may know claims it does not."""
        return self._file.adopts

    async def refresh(self) -> None:
        """Take in what another instance wrote; costs next to nothing when none did.

        Raises:
            HostError: the file cannot be read.
        """
        if self._file.moved:
            await self.transact(lambda _: [], durable=False)

    async def transact(self, change: Change, *, durable: bool, quick: bool = False) -> None:
        """Run `change` and append what it returns; with `durable`, return only once that is on disk.

        With `quick` it is done in the event loop if it need not last and nothing is to be waited for: on a busy node
        the way to the thread and back takes longer than the rest.

        Raises whatever `change` raises, and `HostError` if the file cannot be written or synced: then the
        ledger is as before, except for a reservation.
        """
        if quick and not durable and self._done_at_once(change):
            return
        loop = asyncio.get_running_loop()
        transaction = _Transaction(change, durable, loop.create_future())
        self._waiting.append(transaction)
        if self._busy is None and not self._called:
            self._called = True
            loop.call_soon(self._next_turn, loop)  # who asks in this turn of the loop shares it
        await transaction.done

    async def close(self) -> None:
        """Finish what is under way, then close the files."""
        while self._busy is not None or self._called:
            if self._busy is not None:
                await self._busy
            await asyncio.sleep(0)  # lets the next turn begin, if any waits
        self._thread.shutdown(wait=True)
        self._file.close()
        self.locks.close()

    def _next_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._called = False
        batch, self._waiting = self._waiting, []
        self._busy = loop.run_in_executor(self._thread, self._turn, batch, loop)
        self._busy.add_done_callback(lambda turn: self._after_turn(loop, batch, turn))

    def _after_turn(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: Sequence[_Transaction],
        turn: asyncio.Future[None],
    ) -> None:
        """Tell those of a turn that broke off, and let the next one begin."""
        error = None if turn.cancelled() else turn.exception()
        _tell([(each, error) for each in batch])
        self._busy = None
        if self._waiting:
            self._next_turn(loop)
        self._look_at_ledger()

    def _done_at_once(self, change: Change) -> bool:
        """Do it here, unless the thread is at work, another instance is, or the file needs more than an append."""
        if self._busy is not None or self._called or not self._file.take_calm():
            return False
        try:
            self._file.append(change(self._file.ledger), durable=False)
        finally:
            self._file.let_go()
        self._look_at_ledger()
        return True

    def _look_at_ledger(self) -> None:
        seen = (id(self.ledger), self.ledger.version)
        if seen != self._seen:
            self._seen = seen
            for tell in self.changed:
                tell()

    def _turn(self, batch: Sequence[_Transaction], loop: asyncio.AbstractEventLoop) -> None:
        """Run in the journal's thread. What needs no sync is told before the sync."""
        with self._file.held():
            outcomes = [(each, self._apply(each)) for each in batch]
            waits = self._file.unsynced
            unsynced = [t for t, error in outcomes if waits and t.durable and error is None]
            told = [each for each in outcomes if each[0] not in unsynced]
            loop.call_soon_threadsafe(_tell, told)
            error = self._sync() if unsynced else None
            loop.call_soon_threadsafe(_tell, [(each, error) for each in unsynced])

    def _apply(self, transaction: _Transaction) -> PydraError | None:
        try:
            self._file.append(transaction.change(self._file.ledger), durable=transaction.durable)
        except PydraError as err:
            return err
        return None

    def _sync(self) -> HostError | None:
        try:
            self._file.sync()
        except HostError as err:
            return err
        if self._file.size >= self._compact_at:
            self._compact()
        return None

    def _compact(self) -> None:
        try:
            self._file.rewrite()
        except OSError as err:  # what was synced is on disk either way
            details = {"path": self._file.path, "why": err.strerror}
            _log.warning("journal could not be compacted; free space on its disk", extra=details)
        self._compact_at = max(_COMPACT_ABOVE, 2 * self._file.size)


def _tell(outcomes: Sequence[_Outcome]) -> None:
    """Wake whoever still waits, in the event loop."""
    for transaction, error in outcomes:
        if transaction.done.done():
            continue
        if error is None:
            transaction.done.set_result(None)
        else:
            transaction.done.set_exception(error)
