"""Runs cases: those that can share a node one after the other on it, the others beside them on their own.

A node on which a case failed is not used again, so that one mistake of a driver fails one case.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pydra_testbed.conformance.catalog import CASES
from pydra_testbed.conformance.limits import QUICK, Limits
from pydra_testbed.conformance.model import (
    Case,
    Conditions,
    Failed,
    NotMetError,
    Outcome,
    Passed,
    Profile,
    Result,
    Skipped,
    UnsuitedError,
)
from pydra_testbed.conformance.opening import stand
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.conformance.subject import Subject
from pydra_testbed.folder import own_folder
from pydra_testbed.kubelet.rpc import RpcError
from pydra_testbed.objects import ApiStatusError

Tell: TypeAlias = Callable[[Result], None]
_FIRST = "REG-01"
_TOGETHER = ({"PREP", "UNPREP"}, {"REG"}, {"SLICE", "HEALTH"}, {"SHIELD"}, {"STATE"}, {"SEC"})
"""Families whose cases share a node, unless they want one of their own."""


def _tell_nobody(_: Result) -> None:
    """For callers that wait for the end."""


async def run(
    subject: Subject,
    cases: Sequence[Case] = CASES,
    limits: Limits = QUICK,
    *,
    jobs: int = 2,
    tell: Tell = _tell_nobody,
) -> tuple[Result, ...]:
    """Run cases against a driver, `jobs` at a time; `tell` hears of each result at once.

    A driver that is never registered fails REG-01, and all other cases are skipped.

    Raises:
        ConfigError: the driver's program cannot be started, or TMPDIR is too long for sockets.
        OSError: the temporary directory cannot be written.
    """
    with own_folder(["00"]) as root:
        kit = _Kit(subject, limits, root, asyncio.Semaphore(jobs), tell)
        async with AsyncExitStack() as stack:
            lane = _Lane(kit, Conditions(), stack)
            trouble = await kit.probe(lane)
            if trouble is not None:
                return tuple(kit.done(_untried(case, trouble)) for case in cases)
            return await kit.play(cases, lane)


def _untried(case: Case, trouble: NotMetError) -> Result:
    """What came of a case when the driver cannot be tried at all."""
    if case.id == _FIRST:
        return Result(case, Failed(trouble.expected, trouble.seen, case.remedy), 0.0)
    return Result(case, Skipped(f"the driver does not get so far: see {_FIRST}"), 0.0)


@dataclass(slots=True)
class _Kit:
    """What all lanes of one run share."""

    subject: Subject
    limits: Limits
    root: Path
    free: asyncio.Semaphore
    tell: Tell
    profile: Profile = field(default_factory=Profile)
    _names: itertools.count[int] = field(default_factory=itertools.count)

    def place(self) -> Path:
        """A folder for one more node."""
        return self.root / str(next(self._names))

    def done(self, result: Result) -> Result:
        """Tell of a result."""
        self.tell(result)
        return result

    async def probe(self, lane: _Lane) -> NotMetError | None:
        """Start the driver once, to learn what it is; returns why that fails."""
        try:
            node = await lane.ready()
        except NotMetError as err:
            return err
        self.profile = node.profile = node.learn()
        return None

    async def play(self, cases: Sequence[Case], first: _Lane) -> tuple[Result, ...]:
        """Run all cases; the first lane's node is warm already."""
        shared = [case for case in cases if not case.conditions.own]
        lanes = [[case for case in shared if case.family in together] for together in _TOGETHER]
        lanes.sort(key=len, reverse=True)
        lanes += [[case] for case in cases if case.conditions.own]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._warm(lanes[0], first))]
                tasks += [group.create_task(self._lane(lane)) for lane in lanes[1:] if lane]
        except BaseExceptionGroup as errors:  # whoever asked knows nothing of lanes
            raise errors.exceptions[0] from errors.exceptions[0].__cause__
        results = {r.case.id: r for task in tasks for r in task.result()}
        return tuple(results[case.id] for case in cases)

    async def _warm(self, cases: Iterable[Case], lane: _Lane) -> list[Result]:
        async with self.free:
            return [self.done(await lane.play(case)) for case in cases]

    async def _lane(self, cases: Sequence[Case]) -> list[Result]:
        async with self.free, AsyncExitStack() as stack:
            lane = _Lane(self, cases[0].conditions, stack)
            return [self.done(await lane.play(case)) for case in cases]


class _Lane:
    """One node after the other for cases of the same conditions, a new one only when the last is spoilt."""

    def __init__(self, kit: _Kit, conditions: Conditions, stack: AsyncExitStack) -> None:
        self._kit = kit
        self._conditions = conditions
        self._outer = stack
        self._inner: AsyncExitStack | None = None
        self._node: Stand | None = None

    async def ready(self) -> Stand:
        """The node, with the driver running and published if the conditions say so."""
        if self._node is None:
            self._inner = await self._outer.enter_async_context(AsyncExitStack())
            opened = stand(self._kit.subject, self._kit.limits, self._kit.place(), self._conditions)
            self._node = await self._inner.enter_async_context(opened)
            self._node.profile = self._kit.profile
            if self._conditions.starts:
                await self._node.start()
                await self._node.published()
        return self._node

    async def play(self, case: Case) -> Result:
        """Run one case."""
        started = time.monotonic()
        outcome = await self._outcome(case)
        if isinstance(outcome, Failed) or not await self._is_tidy():
            await self._drop()
        return Result(case, outcome, time.monotonic() - started)

    async def _outcome(self, case: Case) -> Outcome:
        limit = self._kit.limits.case
        try:
            async with asyncio.timeout(limit):
                await case.run(await self.ready())
        except NotMetError as err:
            return Failed(err.expected, err.seen, case.remedy)
        except RpcError as err:
            return Failed("an answer to each call", str(err), case.remedy)
        except TimeoutError:
            return Failed(f"an end within {limit:g} s", "it goes on and on", case.remedy)
        except UnsuitedError as err:
            return Skipped(str(err))
        except ApiStatusError as err:
            return Skipped(f"the testbed cannot make what the case needs: {err.message}")
        return Passed()

    async def _is_tidy(self) -> bool:
        return self._node is not None and await self._node.tidy()

    async def _drop(self) -> None:
        inner, self._inner, self._node = self._inner, None, None
        if inner is not None:
            await inner.aclose()
