"""Runs cases: those that can share a node one after the other on it, the others beside them on their own.

A node on which a case failed is not used again, so that one mistake of a driver fails one case.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

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
    Serving,
    Skipped,
    UnsuitedError,
)
from pydra_testbed.conformance.opening import stand
from pydra_testbed.conformance.serving import learn
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.conformance.subject import Subject
from pydra_testbed.folder import own_folder
from pydra_testbed.kubelet.rpc import RpcError
from pydra_testbed.objects import ApiStatusError

Tell: TypeAlias = Callable[[Result], None]
_FIRST = "REG-01"
_PUBLISHED = "SLICE-01"
_PLUGIN, _LISTED = "DP", "DP-01"
_LONGEST = "DP-08"
"""It waits for what a driver notices by looking again and again, so it begins first."""
_JUDGES = ("SLICE-05", "SLICE-11")
"""Cases that say why nothing usable is published."""
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

    A driver that is never registered fails REG-01, one that publishes nothing usable the case about the reason,
    and all other cases are skipped. Those of the family DP are about what it serves beside, or instead: they come last.

    Raises:
        ConfigError: the driver's program cannot be started, or TMPDIR is too long for sockets.
        OSError: the temporary directory cannot be written.
    """
    plugin = [case for case in cases if case.family == _PLUGIN]
    others = [case for case in cases if case.family != _PLUGIN]
    with own_folder(["00"]) as root:
        kit = _Kit(subject, limits, root, asyncio.Semaphore(jobs), tell)
        results = (*await _others(kit, others), *await kit.plugin(plugin))
    by_id = {result.case.id: result for result in results}
    return tuple(by_id[case.id] for case in cases)


async def _others(kit: _Kit, cases: Sequence[Case]) -> tuple[Result, ...]:
    """All cases that are about claims."""
    if not cases:
        return ()
    async with AsyncExitStack() as stack:
        lane = _Lane(kit, Conditions(), stack)
        trouble = await kit.probe(lane)
        if trouble is None:
            return await kit.play(cases, lane)
        return await kit.give_up(cases, trouble, is_registered=lane.is_registered)


def _untried(case: Case, first: str, trouble: NotMetError) -> Result:
    """What came of a case when the driver cannot be tried at all."""
    if case.id == first:
        return Result(case, Failed(trouble.expected, trouble.seen, case.remedy), 0.0)
    return Result(case, Skipped(f"the driver does not get so far: see {first}"), 0.0)


@dataclass(slots=True)
class _Kit:
    """What all lanes of one run share."""

    subject: Subject
    limits: Limits
    root: Path
    free: asyncio.Semaphore
    tell: Tell
    profile: Profile = field(default_factory=Profile)
    gave_up: bool = False
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

    async def give_up(
        self, cases: Sequence[Case], trouble: NotMetError, *, is_registered: bool
    ) -> tuple[Result, ...]:
        """One case fails, the others are skipped. Cases that can say why nothing usable is published are asked."""
        self.gave_up = True
        judges = [case for case in cases if case.id in _JUDGES and is_registered]
        known = {case.id: (await self._lane([case]))[0] for case in judges}
        guilty = [i for i, result in known.items() if isinstance(result.outcome, Failed)]
        first = [*guilty, _PUBLISHED if is_registered else _FIRST][0]
        return tuple(
            known.get(case.id) or self.done(_untried(case, first, trouble)) for case in cases
        )

    async def play(self, cases: Sequence[Case], first: _Lane) -> tuple[Result, ...]:
        """Run all cases; the first lane's node is warm already."""
        shared = [case for case in cases if not case.conditions.own]
        lanes = [[case for case in shared if case.family in together] for together in _TOGETHER]
        lanes.sort(key=len, reverse=True)
        lanes += [[c] for c in cases if c.conditions.own and not c.conditions.alone]
        works = [self._warm(lanes[0], first), *(self._lane(lane) for lane in lanes[1:] if lane)]
        return await self._all(cases, works)

    async def _all(
        self, cases: Sequence[Case], works: Iterable[Coroutine[Any, Any, list[Result]]]
    ) -> tuple[Result, ...]:
        """The results of `works` together, then of the cases that want nothing beside them."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work) for work in works]
        except BaseExceptionGroup as errors:  # whoever asked knows nothing of lanes
            raise errors.exceptions[0] from errors.exceptions[0].__cause__
        results = {r.case.id: r for task in tasks for r in task.result()}
        for case in cases:
            if case.conditions.alone:
                results[case.id] = (await self._lane([case]))[0]
        return tuple(results[case.id] for case in cases)

    async def plugin(self, cases: Sequence[Case]) -> tuple[Result, ...]:
        """Run the cases about device plugins: on a node each, once it is known what the driver serves."""
        if not cases:
            return ()
        conditions = Conditions(serving=Serving.BOTH)
        try:
            async with stand(self.subject, self.limits, self.place(), conditions) as node:
                node.profile = self.profile
                self.profile = await learn(node)
        except UnsuitedError as err:
            reason = Skipped(f"not applicable: {err}")
            return tuple(self.done(Result(case, reason, 0.0)) for case in cases)
        except NotMetError as err:
            first = _FIRST if self.gave_up else _LISTED
            return tuple(self.done(_untried(case, first, err)) for case in cases)
        together = [case for case in cases if not case.conditions.alone]
        together.sort(key=lambda case: case.id != _LONGEST)
        return await self._all(cases, [self._lane([case]) for case in together])

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

    @property
    def is_registered(self) -> bool:
        """Whether a driver on the node has been registered."""
        return self._node is not None and bool(self._node.running)

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
            return Skipped(f"not applicable: {err}")
        except ApiStatusError as err:
            return Skipped(f"the testbed cannot make what the case needs: {err.message}")
        return Passed()

    async def _is_tidy(self) -> bool:
        return self._node is not None and await self._node.tidy()

    async def _drop(self) -> None:
        inner, self._inner, self._node = self._inner, None, None
        if inner is not None:
            await inner.aclose()
