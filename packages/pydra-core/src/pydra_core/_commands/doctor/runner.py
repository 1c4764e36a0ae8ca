"""Runs checks at the same time, each under a time limit, and turns whatever they do into results.

A dead mount or a vendor library that hangs must cost one row of the table and not the table, so whatever may
block runs in a thread that nobody waits for at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.results import Result, finding
from pydra_core._commands.doctor.subject import Subject

T = TypeVar("T")
Look: TypeAlias = Callable[[Subject], Coroutine[Any, Any, Sequence[Result]]]

_MOUNTS = "something it reads hangs: look for dead mounts (`findmnt`) and disk errors (`dmesg`)"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at; `late` is the fix when it does not come to an end in time."""

    name: str
    look: Look
    late: str = _MOUNTS


@dataclass(frozen=True, slots=True)
class Examination:
    """All results in the order of the checks, and whether any check is still running in its thread."""

    results: tuple[Result, ...]
    hanging: bool


def local(name: str, look: Callable[[Subject], Iterable[Result]], late: str = _MOUNTS) -> Check:
    """A check that reads this node's files and may block while it does."""

    async def read(subject: Subject) -> Sequence[Result]:
        async def work() -> Sequence[Result]:
            return tuple(look(subject))

        return await aside(work)

    return Check(name, read, late)


async def examine(checks: Sequence[Check], subject: Subject, seconds: float) -> Examination:
    """Run all checks at once, each for at most `seconds`. Raises nothing that a check raises."""
    tasks = [asyncio.ensure_future(check.look(subject)) for check in checks]
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
    pairs = zip(checks, tasks, strict=True)
    results = [r for check, task in pairs for r in _results(check, task, seconds)]
    return Examination(tuple(results), hanging=bool(late))


def _results(
    check: Check, task: asyncio.Future[Sequence[Result]], seconds: float
) -> Sequence[Result]:
    if task.cancelled():
        return [
            finding(Finding.CHECK_LATE, check.name, f"no result after {seconds:g} s", check.late)
        ]
    err = task.exception()
    if isinstance(err, PermissionError):
        seen = f"{err.filename or ''}: this process may not look: {err.strerror}"
        return [
            finding(
                Finding.CHECK_FORBIDDEN, check.name, seen, "run this as root, as the driver runs"
            )
        ]
    if err:
        seen = f"the check itself failed: {type(err).__name__}: {err}"
        return [
            finding(
                Finding.CHECK_FAILED,
                check.name,
                seen,
                "report it with the output of `pydra doctor -o json`",
            )
        ]
    return task.result()


async def aside(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `work` on an event loop in a thread of its own, which the end of the program does not wait for.

    Raises what `work` raises.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def deliver(outcome: T | BaseException) -> None:
        if answer.done():
            return
        if isinstance(outcome, BaseException):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    def run() -> None:
        outcome = asyncio.run(_outcome(work()))
        with contextlib.suppress(RuntimeError):  # the loop is closed: it took too long
            loop.call_soon_threadsafe(deliver, outcome)

    threading.Thread(target=run, daemon=True).start()
    return await answer


async def _outcome(work: Coroutine[Any, Any, T]) -> T | BaseException:
    outcomes = await asyncio.gather(work, return_exceptions=True)
    return outcomes[0]
