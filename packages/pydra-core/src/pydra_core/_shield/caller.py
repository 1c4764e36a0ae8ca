"""Calls the operations of one SDK module, one at a time: worker, deadline, retry, log, metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pydra_core._shield import failures, wire
from pydra_core._shield.conversation import Conversation, Late, Outcome
from pydra_core._shield.process import Death
from pydra_core._shield.table import Table
from pydra_core._shield.ward import Ward
from pydra_core._shield.workers import Workers
from pydra_core.errors import PydraError, VendorCrashedError, VendorError, VendorReloadError
from pydra_core.sdk import MUTATES, READS, Operation

_log = logging.getLogger(__name__)


class Caller:
    """The queue before one worker."""

    def __init__(self, ward: Ward) -> None:
        self._ward = ward
        self._workers = Workers(ward)
        self._around = ward.around
        self._turn = asyncio.Lock()
        self._conversation: Conversation | None = None
        self._table = Table(ward.spec)

    async def call(
        self,
        operation: Operation,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        seconds: float,
    ) -> Any:
        """Call one operation; `seconds` bound the call itself, not the wait for its turn.

        Raises what `Shield.__call__` says.
        """
        frame = wire.request(operation.name, args, kwargs)
        async with self._turn:
            try:
                return await self._attempt(operation, frame, seconds)
            except (VendorCrashedError, VendorReloadError) as err:
                if not self._may_repeat(operation):
                    raise
                details = {"operation": str(operation), "reason": err.reason}
                _log.info("asking a fresh worker once more", extra=details)
            return await self._attempt(operation, frame, seconds)

    async def load(self) -> Sequence[str]:
        """Have a worker, and return the names of the operations it found."""
        async with self._turn:
            await self._ready()
            return self._table.names()

    async def reload(self) -> None:
        """Let the next call have a fresh worker."""
        async with self._turn:
            if conversation := self._conversation:
                await conversation.idle()
                self._discard(conversation, VendorReloadError.reason)

    async def close(self) -> None:
        """End the worker."""
        if self._conversation:
            self._conversation.forget()
        await self._workers.close()

    async def _attempt(self, operation: Operation, frame: bytes, seconds: float) -> Any:
        self._ward.admit(operation)
        conversation = await self._ready()
        self._table.check(operation, events=False)
        return await self._ask(conversation, operation, frame, seconds)

    def _may_repeat(self, operation: Operation) -> bool:
        known = self._table.kind(operation.name) in {READS, ""}  # unknown: it was never begun
        return known and not self._ward.quarantine(operation)

    async def _ready(self) -> Conversation:
        """The conversation with a worker that has loaded the SDK module and is free."""
        if self._conversation:
            await self._conversation.idle()
        if self._conversation is None or self._conversation.process.death:
            self._conversation = None
            self._ward.admit_worker()
            self._conversation = await self._start()
        return self._conversation

    async def _start(self) -> Conversation:
        conversation = Conversation(await self._workers.start(), self._ended_idle)
        loading, seconds = self._ward.loading, self._around.limits.start
        try:
            said = await self._ask(conversation, loading, b"", seconds)
        except asyncio.CancelledError:
            conversation.process.kill()
            raise
        try:
            self._table = Table(self._ward.spec, said)
        except VendorError as err:
            self._discard(conversation, err.reason)
            raise
        details = {"sdk": self._ward.spec.module, "pid": conversation.process.pid}
        _log.info("vendor worker started", extra=details)
        return conversation

    async def _ask(
        self, conversation: Conversation, operation: Operation, frame: bytes, seconds: float
    ) -> Any:
        mutates = self._table.kind(operation.name) == MUTATES
        started = self._around.now()
        error: PydraError | None = None

        def account(outcome: Outcome) -> None:
            nonlocal error
            error = failures.of(operation, outcome, seconds, mutates=mutates)
            took = self._around.now() - started
            self._ward.observer.vendor_call(operation.name, error.reason if error else "", took)
            self._note(conversation, operation, outcome, error)

        outcome = await conversation.ask(frame, seconds, account)
        if error:
            raise error
        return outcome.value if isinstance(outcome, wire.Value) else None

    def _note(
        self,
        conversation: Conversation,
        operation: Operation,
        outcome: Outcome,
        error: PydraError | None,
    ) -> None:
        """Draw the consequences of an outcome; also when nobody waits for it any more."""
        if isinstance(outcome, Death | Late) and error:
            self._crashed(conversation, operation, outcome, error)
            return
        self._ward.succeeded(operation)
        if isinstance(error, VendorReloadError) or (error and operation is self._ward.loading):
            self._discard(conversation, error.reason)
        elif isinstance(outcome, wire.Failure) and not outcome.classes:
            details = {"operation": str(operation), "trace": outcome.trace}
            _log.warning("vendor library raised what nobody translated", extra=details)

    def _crashed(
        self,
        conversation: Conversation,
        operation: Operation,
        outcome: Death | Late,
        error: PydraError,
    ) -> None:
        death = outcome.death if isinstance(outcome, Late) else outcome
        details = {
            "operation": str(operation),
            "reason": error.reason,
            "pid": conversation.process.pid,
            "status": death.status,
            "signal": death.signal,
            "stuck": death.stuck,
            "trace": death.trace,
        }
        _log.error("vendor library took its worker down", extra=details)
        self._workers.ended(conversation.process, error.reason)
        self._ward.crashed(operation)

    def _ended_idle(self, conversation: Conversation, death: Death) -> None:
        """A worker ended with nothing to do: a thread of the library, or somebody's kill."""
        details = {
            "sdk": self._ward.spec.module,
            "status": death.status,
            "signal": death.signal,
            "trace": death.trace,
        }
        _log.error("vendor worker ended while idle", extra=details)
        self._workers.ended(conversation.process, VendorCrashedError.reason)

    def _discard(self, conversation: Conversation, reason: str) -> None:
        conversation.forget()
        self._workers.ended(conversation.process, reason)
        conversation.process.end()
        if conversation is self._conversation:
            self._conversation = None
