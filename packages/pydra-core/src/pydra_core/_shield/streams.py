"""What a generator of an SDK module yields, as an async iterator. Its worker does nothing else.

A wait for events blocks in the library for hours, so it has a process of its own and calls are never behind it.
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
from pydra_core._shield.workers import Surroundings, Workers
from pydra_core.errors import PydraError, VendorCrashedError, VendorError
from pydra_core.sdk import Operation

_log = logging.getLogger(__name__)
_MOST_WAITING = 256
"""Events that may wait for their consumer; then the worker has to wait."""


class EventStream:
    """The values of one generator, begun anew after every crash and every error of it.

    It ends when the generator does, or by `aclose`.
    """

    def __init__(
        self,
        operation: Operation,
        frame: bytes,
        around: Surroundings,
        on_close: Callable[[EventStream], None],
    ) -> None:
        self.workers = Workers(operation.spec, around)
        self._operation = operation
        self._frame = frame
        self._around = around
        self._on_close = on_close
        self._values: deque[Any] = deque()
        self._more = asyncio.Event()
        self._process: Process | None = None
        self._loading: asyncio.TimerHandle | None = None
        self._problem: PydraError | None = None
        self._over = False

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Any:
        """The next event.

        Raises:
            DriverFailedError: the SDK module has no such generator.
            HostError: the node has no room for another process.
        """
        while not self._values:
            if self._problem or self._over:
                await self.aclose()
                raise self._problem or StopAsyncIteration
            if self._process is None:
                self._begin(await self.workers.start())
            self._more.clear()
            await self._more.wait()
        value = self._values.popleft()
        if self._process and len(self._values) == _MOST_WAITING - 1:
            self._process.resume()
        return value

    async def aclose(self) -> None:
        """End the worker; whoever waits for an event gets the end of the iteration."""
        self._over = True
        self._more.set()
        if process := self._leave():
            process.kill()
        await self.workers.close()
        self._on_close(self)

    def _begin(self, process: Process) -> None:
        if self._over:
            process.kill()
            return
        self._process = process
        process.on_frame = self._loaded
        process.on_end = self._ended
        loop = asyncio.get_running_loop()
        self._loading = loop.call_later(self._around.limits.start, process.abort)

    def _leave(self) -> Process | None:
        """Hear no more of the worker."""
        process, self._process = self._process, None
        if process:
            process.on_frame = lambda _: None
            process.on_end = lambda _: None
        if self._loading:
            self._loading.cancel()
        return process

    def _loaded(self, body: bytes) -> None:
        """The worker's first words: which operations there are."""
        if self._loading:
            self._loading.cancel()
        answer = self._decoded(body)
        if isinstance(answer, wire.Failure):
            self._failed(answer)
        elif isinstance(answer, wire.Value) and self._process:
            try:
                Table(self._operation.spec, answer.value).check(self._operation, events=True)
            except PydraError as err:
                self._problem = err
                self._more.set()
                return
            self._process.on_frame = self._yielded
            self._process.send(self._frame)

    def _yielded(self, body: bytes) -> None:
        match self._decoded(body):
            case wire.Value(value):
                self._values.append(value)
                if self._process and len(self._values) == _MOST_WAITING:
                    self._process.pause()
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
            self.workers.ended(process, VendorError.reason)
            process.end()
        self._more.set()

    def _ended(self, death: Death) -> None:
        details = {
            "operation": str(self._operation),
            "status": death.status,
            "signal": death.signal,
            "trace": death.trace,
        }
        _log.error("event source took its worker down and starts again", extra=details)
        if process := self._leave():
            self.workers.ended(process, VendorCrashedError.reason)
        self._more.set()
