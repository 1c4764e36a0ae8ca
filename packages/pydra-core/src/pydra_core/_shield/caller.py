"""Calls the operations of one SDK module, one at a time: worker, deadline, retry, quarantine, log, metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pydra_core._shield import failures, wire
from pydra_core._shield.breaker import Breaker
from pydra_core._shield.conversation import Conversation, Late, Outcome
from pydra_core._shield.process import Death
from pydra_core._shield.table import Table
from pydra_core._shield.workers import Surroundings, Workers
from pydra_core.errors import PydraError, VendorCrashedError, VendorReloadError
from pydra_core.sdk import MUTATES, READS, Operation, SdkSpec

_log = logging.getLogger(__name__)


class Caller:
    """The queue before one worker."""

    def __init__(self, spec: SdkSpec, around: Surroundings) -> None:
        self.spec = spec
        self.workers = Workers(spec, around)
        self._around = around
        self._loading = Operation(spec, failures.LOADING)
        self._breaker = Breaker(around.limits)
        self._turn = asyncio.Lock()
        self._conversation: Conversation | None = None
        self._table = Table(spec)

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
            self._admit(self._loading)
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
        await self.workers.close()

    async def _attempt(self, operation: Operation, frame: bytes, seconds: float) -> Any:
        self._admit(operation)
        conversation = await self._ready()
        self._table.check(operation, events=False)
        return await self._ask(conversation, operation, frame, seconds)

    def _may_repeat(self, operation: Operation) -> bool:
        known = self._table.kind(operation.name) in {READS, ""}  # unknown: it was never begun
        return known and not self._quarantine(operation)

    def _quarantine(self, operation: Operation) -> float:
        return self._breaker.wait(operation.name, self._around.now())

    def _admit(self, operation: Operation) -> None:
        """Refuse what is in quarantine, or would start a worker beside too many that hang."""
        for name in (operation, self._loading):
            if wait := self._quarantine(name):
                raise failures.quarantined(name, wait)
        if (count := self.workers.stuck) >= self._around.limits.stuck:
            raise failures.stuck(self.spec, count)

    async def _ready(self) -> Conversation:
        """The conversation with a worker that has loaded the SDK module and is free."""
        if self._conversation:
            await self._conversation.idle()
        if self._conversation is None or self._conversation.process.death:
            self._conversation = None
            self._conversation = await self._start()
        return self._conversation

    async def _start(self) -> Conversation:
        conversation = Conversation(await self.workers.start(), self._ended_idle)
        try:
            said = await self._ask(conversation, self._loading, b"", self._around.limits.start)
            self._table = Table(self.spec, said)
        except (asyncio.CancelledError, msgspec.ValidationError):
            conversation.process.kill()
            raise
        details = {"sdk": self.spec.module, "pid": conversation.process.pid}
        _log.info("vendor worker started", extra=details)
        return conversation

    async def _ask(
        self, conversation: Conversation, operation: Operation, frame: bytes, seconds: float
    ) -> Any:
        mutates = self._table.kind(operation.name) == MUTATES
        started = self._around.now()

        def account(outcome: Outcome) -> None:
            error = failures.of(operation, outcome, seconds, mutates=mutates)
            took = self._around.now() - started
            self.workers.observer.vendor_call(operation.name, error.reason if error else "", took)
            self._note(conversation, operation, outcome, error)

        outcome = await conversation.ask(frame, seconds, account)
        if error := failures.of(operation, outcome, seconds, mutates=mutates):
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
        if self._breaker.succeeded(operation.name):
            self._tell_quarantined()
        if isinstance(error, VendorReloadError) or (error and operation is self._loading):
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
        self.workers.ended(conversation.process, error.reason)
        if self._breaker.crashed(operation.name, self._around.now()):
            seconds = self._quarantine(operation)
            details = {"operation": str(operation), "seconds": round(seconds)}
            _log.error("operation is quarantined", extra=details)
            self._tell_quarantined()

    def _tell_quarantined(self) -> None:
        self.workers.observer.vendor_quarantined(self.spec.module, self._breaker.quarantined)

    def _ended_idle(self, conversation: Conversation, death: Death) -> None:
        """A worker ended with nothing to do: a thread of the library, or somebody's kill."""
        details = {
            "sdk": self.spec.module,
            "status": death.status,
            "signal": death.signal,
            "trace": death.trace,
        }
        _log.error("vendor worker ended while idle", extra=details)
        self.workers.ended(conversation.process, VendorCrashedError.reason)

    def _discard(self, conversation: Conversation, reason: str) -> None:
        conversation.forget()
        self.workers.ended(conversation.process, reason)
        conversation.process.end()
        if conversation is self._conversation:
            self._conversation = None
