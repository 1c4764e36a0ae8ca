"""One piece of work at a time per claim: retries join it, deadlines bound the wait and not the work.

A kubelet that stops waiting comes back after a minute or more. Work that outlives its deadline goes on, so
that the next try finds it done; what passes by itself is retried here, while the kubelet still waits.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from pydra_core._state.records import DeviceAnswer
from pydra_core._values import ClaimRef
from pydra_core.errors import (
    PrepareTimeoutError,
    PydraError,
    TerminalError,
    VendorCrashedError,
    VendorQuarantinedError,
    VendorStuckError,
    VendorTimeoutError,
)

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_ERROR_LIMIT = 1000
_OF_THE_SHIELD = (
    VendorCrashedError,
    VendorTimeoutError,
    VendorQuarantinedError,
    VendorStuckError,
)
_SOON = 10.0
"""Seconds of patience with what the operating system says will pass."""
_PASSING = {errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ETIMEDOUT, errno.ECONNREFUSED}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the kubelet is told of one claim: devices, or an error text."""

    devices: tuple[DeviceAnswer, ...] = ()
    error: str = ""


@dataclass(slots=True)
class Work:
    """What goes on for one claim.

    Attributes:
        kind: `prepare` or `unprepare`.
        deadline: The latest of those who wait, in monotonic seconds.
        stage: Whom it waits for, as an error text says it.
        waiting: How many calls wait for the answer.
    """

    kind: str
    deadline: float
    stage: str
    task: asyncio.Task[Answer]
    waiting: int = 0


Step: TypeAlias = Callable[[ClaimRef], Awaitable[Answer]]
Patience: TypeAlias = Callable[[PydraError | OSError], float]
Refuse: TypeAlias = Callable[[str, ClaimRef, PydraError], Answer]


def patience(err: PydraError | OSError) -> float:
    """Seconds for which repeating makes sense; a mistake in a driver's code does not go away."""
    if isinstance(err, TerminalError):
        return 0.0
    if isinstance(err, PydraError):
        return err.patience
    passing = isinstance(err, (TimeoutError, ConnectionError)) or err.errno in _PASSING
    return _SOON if passing else 0.0


class Works:
    """The work in flight of one driver, by claim UID."""

    def __init__(self, driver: str) -> None:
        self._driver = driver
        self._works: dict[str, Work] = {}
        self._ending = False

    async def join(self, kind: str, ref: ClaimRef, deadline: float, step: Step) -> Answer:
        """Join the claim's work of that kind or begin it, behind work of the other kind.

        Raises:
            PrepareTimeoutError: the deadline came first; the work goes on.
        """
        try:
            async with asyncio.timeout_at(_loop_time(deadline)):
                while (work := self._works.get(ref.uid)) and work.kind != kind:
                    await asyncio.wait([work.task])
                if work is None:
                    work = self._start(kind, ref, deadline, step)
                work.deadline = max(work.deadline, deadline)
                return await _answer_of(work)
        except TimeoutError:
            raise self._late(kind, ref) from None

    def at(self, uid: str, stage: str) -> None:
        """Note whom the claim's work waits for from now on."""
        if work := self._works.get(uid):
            work.stage = stage

    def check_wanted(self, ref: ClaimRef) -> None:
        """Give work up that has taken nothing yet when no call waits for it any more.

        Meanwhile the kubelet may have been told by a newer instance that the claim holds nothing.

        Raises:
            PrepareTimeoutError: nobody waits.
        """
        if (work := self._works.get(ref.uid)) and not work.waiting:
            raise PrepareTimeoutError(
                f"claim {ref}: nobody waits for it any more, and it holds no device yet; the next try begins anew",
                stage=work.stage,
            )

    def is_leaving(self, uid: str) -> bool:
        """Whether the claim is being unprepared now."""
        work = self._works.get(uid)
        return work is not None and work.kind == "unprepare"

    async def patiently(
        self, uid: str, call: Callable[[], Awaitable[_T]], patience: Patience = patience
    ) -> _T:
        """Repeat what passes by itself, within the deadline and the patience with each error, in seconds."""
        started, delay = time.monotonic(), _FIRST_PAUSE
        while True:
            try:
                return await call()
            except (PydraError, OSError) as err:
                wait = getattr(err, "retry_after", None) or delay
                until = min(self._works[uid].deadline, started + patience(err))
                if time.monotonic() + wait >= until:
                    raise
                why = err.reason if isinstance(err, PydraError) else type(err).__name__
                _log.debug("retrying", extra={"uid": uid, "reason": why, "seconds": wait})
            await asyncio.sleep(wait)
            delay = min(delay * 2, _LONGEST_PAUSE)

    async def settle(self, until: float) -> None:
        """Wait for work in flight until that monotonic time, then cancel what is left."""
        tasks = [work.task for work in self._works.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=max(0.0, until - time.monotonic()))
            self._ending = True
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def gives_up(self, err: BaseException) -> bool:
        """Whether work ends with the process, and not because a driver's code cancelled it or wanted to exit."""
        return isinstance(err, GeneratorExit) or (
            isinstance(err, asyncio.CancelledError) and self._ending
        )

    def _start(self, kind: str, ref: ClaimRef, deadline: float, step: Step) -> Work:
        task = asyncio.ensure_future(step(ref))
        work = self._works[ref.uid] = Work(kind, deadline, f"driver {self._driver}", task)
        task.add_done_callback(lambda _: self._works.pop(ref.uid, None))
        return work

    def _late(self, kind: str, ref: ClaimRef) -> PrepareTimeoutError:
        work = self._works.get(ref.uid)
        stage = work.stage if work else ""
        if work and work.kind != kind:
            what = f"the {work.kind} before it waits for {stage}"
        else:
            what = f"it waits for {stage}" if stage else "it waits for its turn"
        return PrepareTimeoutError(
            f"claim {ref}: {kind} has not finished within the kubelet's deadline: {what}; its work goes on and the"
            " next try joins it",
            stage=stage,
        )


async def _answer_of(work: Work) -> Answer:
    work.waiting += 1
    try:
        return await asyncio.shield(work.task)
    finally:
        work.waiting -= 1


def error_text(ref: ClaimRef, err: PydraError) -> str:
    """What the kubelet is told, on one line; it puts the text into a pod event.

    The claim is always named: a text about the disk or a device would not tell whose trouble it is. That the
    vendor's library failed stands first, so that nobody looks for the fault in the claim.
    """
    text = " ".join(str(err).split())
    if f"claim {ref}" not in text:
        text = f"claim {ref}: {text}"
    heads = ["TerminalError"] if isinstance(err, TerminalError) else []
    heads += [err.reason] if isinstance(err, _OF_THE_SHIELD) else []
    return ": ".join([*heads, text[:_ERROR_LIMIT]])


def _loop_time(deadline: float) -> float:
    return asyncio.get_running_loop().time() + deadline - time.monotonic()
