"""The search itself: device after device, request after request, claim after claim; the first fit wins.

Every choice is a frame of an explicit stack (a pod may need a thousand devices, more than Python recurses).
A frame is a generator: each value it yields is a position reached by one more choice, which it takes back
when it is resumed or closed. Order and limits are Kubernetes'.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

from pydra_testbed.scheduler.attempt import Attempt
from pydra_testbed.scheduler.eligibility import Eligibility
from pydra_testbed.scheduler.model import MAX_RESULTS, AllocationError, Device
from pydra_testbed.scheduler.plan import Plan, PlannedGroup
from pydra_testbed.scheduler.task import Pick


class SearchTooLongError(Exception):
    """The search was given up."""


class Position(NamedTuple):
    """Which device is needed next: of which claim, request, alternative; `start` is where to look from."""

    claim: int = 0
    group: int = 0
    alternative: int = -1
    nth: int = 0
    start: int = 0


class _TooMany:
    """A claim would get more results than it can hold, whichever devices are taken."""


_TOO_MANY = _TooMany()
_Move = Position | _TooMany
_Moves = Generator[_Move, None, None]


@dataclass(slots=True)
class _Frame:
    moves: _Moves
    is_claim_end: bool
    alternatives: int = 0
    too_many: int = 0


class Search:
    """One search over the candidate devices of a node."""

    def __init__(
        self,
        plans: tuple[tuple[PlannedGroup, ...], ...],
        candidates: tuple[Device, ...],
        eligibility: Eligibility,
        attempt: Attempt,
        most_steps: int,
    ) -> None:
        self._plans = plans
        self._candidates = candidates
        self._eligibility = eligibility
        self._attempt = attempt
        self._most_steps = most_steps

    def run(self) -> tuple[tuple[Pick, ...], ...] | None:
        """The picks for each claim, or None when there is no solution.

        Raises:
            SearchTooLongError: there may be a solution, but it was not found within the allowed steps.
            AllocationError: a selector failed, or no alternative stays within the limit of results.
        """
        stack = [self._frame(Position())]
        steps = 0
        try:
            while stack:
                steps += 1
                if steps > self._most_steps:
                    raise SearchTooLongError
                move = next(stack[-1].moves, None)
                if isinstance(move, Position):
                    if move.claim == len(self._plans):
                        return self._attempt.solution()
                    stack.append(self._frame(move))
                elif move is not None or _all_too_many(stack[-1]):
                    self._unwind(stack)
                else:
                    stack.pop()
        finally:
            while stack:
                stack.pop().moves.close()
        return None

    def _unwind(self, stack: list[_Frame]) -> None:
        """Back to a choice that can change the number of devices: an alternative, or another claim."""
        stack.pop()
        while stack:
            frame = stack[-1]
            if frame.is_claim_end:
                return
            if frame.alternatives:
                frame.too_many += 1
                return
            frame.moves.close()
            stack.pop()
        raise AllocationError("allocation max size exceeded")

    def _frame(self, at: Position) -> _Frame:
        groups = self._plans[at.claim]
        is_claim_end = at.group == len(groups)
        is_open = not is_claim_end and at.alternative < 0 and len(groups[at.group]) > 1
        return _Frame(self._moves(at), is_claim_end, len(groups[at.group]) if is_open else 0)

    def _moves(self, at: Position) -> _Moves:
        groups = self._plans[at.claim]
        if at.group == len(groups):
            yield Position(at.claim + 1)
        elif at.alternative < 0:
            for alternative in range(len(groups[at.group])):
                yield at._replace(alternative=alternative)
        else:
            plan = groups[at.group][at.alternative]
            if plan.devices is None:
                yield from self._first_fits(at, plan)
            elif plan.devices:
                yield from self._all_devices(at, plan, plan.devices)

    def _is_complete(self, at: Position, plan: Plan) -> _Move | None:
        if at.nth >= plan.count:
            return Position(at.claim, at.group + 1)
        missing = plan.count - at.nth
        return _TOO_MANY if self._attempt.results(at.claim) + missing > MAX_RESULTS else None

    def _all_devices(self, at: Position, plan: Plan, devices: tuple[Device, ...]) -> _Moves:
        if (move := self._is_complete(at, plan)) is not None:
            yield move
        else:
            yield from self._try(at, plan, devices[at.nth], 0)

    def _first_fits(self, at: Position, plan: Plan) -> _Moves:
        if (move := self._is_complete(at, plan)) is not None:
            yield move
            return
        for place in range(at.start, len(self._candidates)):
            device = self._candidates[place]
            if self._attempt.is_taken(at.claim, plan, device):
                continue
            if self._eligibility.admits(plan, device):
                yield from self._try(at, plan, device, place + 1)

    def _try(self, at: Position, plan: Plan, device: Device, next_start: int) -> _Moves:
        pick = self._attempt.take(at.claim, plan, device)
        if pick is None:
            return
        try:
            yield at._replace(nth=at.nth + 1, start=next_start)
        finally:
            self._attempt.give_back(at.claim, plan, pick)


def _all_too_many(frame: _Frame) -> bool:
    return frame.alternatives > 0 and frame.too_many == frame.alternatives
