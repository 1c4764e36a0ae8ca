"""What a generator of an SDK module yields, as an async iterator. Its worker does nothing else.

A wait for events blocks in the library for hours, so it has a process of its own and calls are never behind it. That
it hangs is known of the import alone, which has a deadline: a generator that is silent may be waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from pydra_core._shield import wire
from pydra_core._shield.process import Death, Process
from pydra_core._shield.table import Table
from pydra_core._shield.ward import Ward
from pydra_core._shield.workers import Workers
from pydra_core.errors import PydraError, VendorCrashedError, VendorError, VendorTimeoutError
from pydra_core.sdk import Operation

_log = logging.getLogger(__name__)
_MOST_WAITING = 256
"""Events that may wait for their consumer; then the worker has to wait."""


class EventStream:
    """The values of one generator, begun anew after a crash and after an error of it.

    It ends when the generator does, by `aclose`, or with an error when it may not begin anew: crashed too often, or
    too many workers of its library hang in the kernel.
    """

    def __init__(
        self,
        operation: Operation,
        frame: bytes,
        ward: Ward,
        on_close: Callable[[EventStream], None],
    ) -> None:
        self._workers = Workers(ward)
        self._operation = operation
        self._frame = frame
        self._ward = ward
        self._on_close = on_close
        self._values: deque[Any] = deque()
        self._more = asyncio.Event()
        self._process: Process | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loaded_at: float | None = None
        self._late = False
        self._problem: PydraError | None = None
        self._over = False

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Any:
        """The next event.

        Raises:
            DriverFailedError: the SDK module has no such generator.
            HostError: the node has no room for another process.
            VendorQuarantinedError: it, or the import, crashed or hung too often.
            VendorStuckError: workers hang in the kernel.
        """
        while not self._values:
            if self._process is None and not self._over:
                self._refuse_if_held()
            if self._problem or self._over:
                await self.aclose()
                raise self._problem or StopAsyncIteration
            if self._process is None:
                self._begin(await self._workers.start())
            self._more.clear()
            await self._more.wait()
        value = self._values.popleft()
        if self._process and len(self._values) == _MOST_WAITING - 1:
            self._process.channel.resume()
        return value

    async def aclose(self) -> None:
        """End the worker; whoever waits for an event gets the end of the iteration."""
        self._over = True
        self._more.set()
        if process := self._leave():
            process.kill()
        await self._workers.close()
        self._on_close(self)

    def _refuse_if_held(self) -> None:
        try:
            self._ward.admit(self._operation)
            self._ward.admit_worker()
        except PydraError as err:
            self._problem = self._problem or err

    def _begin(self, process: Process) -> None:
        if self._over:
            process.kill()
            return
        self._process = process
        process.channel.on_frame = self._loaded
        process.on_end = self._ended
        self._loaded_at, self._late = None, False
        self._later(self._ward.around.limits.start, self._too_late)

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _too_late(self) -> None:
        """The import takes too long."""
        if self._process:
            self._late = True
            self._process.abort()

    def _look(self) -> None:
        """A generator that has run for so long is not to blame for what happened before."""
        if self._has_lasted():
            self._ward.succeeded(self._operation)
        else:
            self._later(self._ward.around.limits.healthy, self._look)

    def _has_lasted(self) -> bool:
        around = self._ward.around
        return (
            self._loaded_at is not None and around.now() - self._loaded_at >= around.limits.healthy
        )

    def _leave(self) -> Process | None:
        """Hear no more of the worker."""
        process, self._process = self._process, None
        if process:
            process.channel.on_frame = lambda _: None
            process.on_end = lambda _: None
        if self._timer:
            self._timer.cancel()
        return process

    def _loaded(self, body: bytes) -> None:
        """The worker's first words: which operations there are."""
        if self._timer:
            self._timer.cancel()
        answer = self._decoded(body)
        if answer:
            self._ward.succeeded(self._ward.loading)
        if isinstance(answer, wire.Failure):
            self._failed(answer)
        elif isinstance(answer, wire.Value) and self._process:
            try:
                Table(self._operation.spec, answer.value).check(self._operation, events=True)
            except PydraError as err:
                self._problem = err
                self._more.set()
                return
            self._loaded_at = self._ward.around.now()
            self._later(self._ward.around.limits.healthy, self._look)
            self._process.channel.on_frame = self._yielded
            self._process.channel.send(self._frame)

    def _yielded(self, body: bytes) -> None:
        match self._decoded(body):
            case wire.Value(value):
                self._values.append(value)
                if self._process and len(self._values) == _MOST_WAITING:
                    self._process.channel.pause()
            case wire.Failure() as failure:
                self._failed(failure)
            case wire.End():
                self._over = True
        self._more.set()

    def _decoded(self, body: bytes) -> wire.Answer | None:
        try:
            return wire.decode(body)
        except msgspec.DecodeError:
            if self._process:
                self._process.refuse("sent rubbish")
            return None

    def _failed(self, failure: wire.Failure) -> None:
        """The generator raised: begin anew, in a fresh worker."""
        details = {"operation": str(self._operation), "why": failure.message}
        _log.warning("event source failed and starts again", extra=details)
        if process := self._leave():
            self._workers.ended(process, VendorError.reason)
            process.end()
        self._more.set()

    def _ended(self, death: Death) -> None:
        running = self._loaded_at is not None
        blamed = self._operation if running else self._ward.loading
        reason = VendorTimeoutError.reason if self._late else VendorCrashedError.reason
        details = {
            "operation": str(self._operation),
            "during": blamed.name,
            "reason": reason,
            "status": death.status,
            "signal": death.signal,
            "stuck": death.stuck,
            "trace": death.trace,
        }
        _log.error("event source took its worker down", extra=details)
        if self._has_lasted():
            self._ward.succeeded(blamed)
        self._ward.crashed(blamed)
        if process := self._leave():
            self._workers.ended(process, reason)
        self._more.set()
