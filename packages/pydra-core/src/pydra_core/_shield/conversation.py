"""One operation after the other with one worker, each under its deadline."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from pydra_core._shield import wire
from pydra_core._shield.process import Death, Process


@dataclass(frozen=True, slots=True)
class Late:
    """The deadline passed first; the worker's end follows from it."""

    death: Death


Outcome: TypeAlias = wire.Answer | Death | Late
Account: TypeAlias = Callable[[Outcome], None]


@dataclass(slots=True)
class _Pending:
    """An operation in the worker. Whoever asked may be gone; the worker still works."""

    future: asyncio.Future[Outcome]
    account: Account
    context: contextvars.Context
    timer: asyncio.TimerHandle
    late: bool = False


class Conversation:
    """Asks a worker. Callers take turns; one that is cancelled leaves its operation to its deadline."""

    def __init__(self, process: Process, ended_idle: Callable[[Conversation, Death], None]) -> None:
        self.process = process
        self._ended_idle = ended_idle
        self._loop = asyncio.get_running_loop()
        self._pending: _Pending | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        process.channel.on_frame = self._answered
        process.on_end = self._ended

    def forget(self) -> None:
        """Hear no more of this worker, which is to end."""
        self.process.on_end = lambda _: None

    async def idle(self) -> None:
        """Return when nothing is in the worker."""
        await self._idle.wait()

    async def ask(self, frame: bytes, seconds: float, account: Account) -> Outcome:
        """Send a request and wait for what becomes of it; an empty one waits for the worker's first words.

        `account` is told as well, also when the caller has been cancelled meanwhile.
        """
        if self.process.death:
            account(self.process.death)
            return self.process.death
        self._idle.clear()
        future: asyncio.Future[Outcome] = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._too_late)
        self._pending = _Pending(future, account, contextvars.copy_context(), timer)
        if frame:
            self.process.channel.send(frame)
        return await future

    def _answered(self, body: bytes) -> None:
        try:
            answer = wire.decode(body)
        except msgspec.DecodeError:
            self.process.refuse("sent rubbish")
            return
        if self._pending and not self._pending.late:
            self._settle(self._pending, answer)

    def _too_late(self) -> None:
        if self._pending:
            self._pending.late = True
            self.process.abort()

    def _ended(self, death: Death) -> None:
        if self._pending:
            self._settle(self._pending, Late(death) if self._pending.late else death)
        else:
            self._ended_idle(self, death)

    def _settle(self, pending: _Pending, outcome: Outcome) -> None:
        self._pending = None
        pending.timer.cancel()
        pending.context.run(pending.account, outcome)
        self._idle.set()
        if not pending.future.done():
            pending.future.set_result(outcome)
