"""The state of a search: what is taken so far, and whether one more device may be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from pydra_testbed.scheduler import capacity
from pydra_testbed.scheduler.constraints import Checker, checker_for
from pydra_testbed.scheduler.counters import CounterLedger
from pydra_testbed.scheduler.eligibility import Eligibility
from pydra_testbed.scheduler.model import ALL, AllocationError, Device, DeviceId, PoolId
from pydra_testbed.scheduler.plan import Plan
from pydra_testbed.scheduler.pools import Pool
from pydra_testbed.scheduler.taints import untolerated_taint
from pydra_testbed.scheduler.task import AllocationInput, Pick
from pydra_testbed.scheduler.trace import Reason


class Attempt:
    """Devices, shares, counters and constraint sets of the search, changed by `take` and `give_back`."""

    def __init__(
        self, task: AllocationInput, pools: tuple[Pool, ...], eligibility: Eligibility
    ) -> None:
        self._task = task
        self._eligibility = eligibility
        self._pools = {pool.id: pool for pool in pools}
        self._ledgers: dict[PoolId, CounterLedger] = {}
        self._constraints = [[checker_for(c) for c in claim.constraints] for claim in task.claims]
        self._picks: list[list[Pick]] = [[] for _ in task.claims]
        self._takers: defaultdict[DeviceId, set[int]] = defaultdict(set)
        self._shares: defaultdict[DeviceId, int] = defaultdict(int)

    def results(self, claim: int) -> int:
        """How many results a claim has so far."""
        return len(self._picks[claim])

    def solution(self) -> tuple[tuple[Pick, ...], ...]:
        return tuple(tuple(picks) for picks in self._picks)

    def is_taken(self, claim: int, plan: Plan, device: Device) -> bool:
        """In use; with admin access only use within the same claim counts."""
        takers = self._takers.get(device.id)
        if plan.request.is_admin:
            taken = takers is not None and claim in takers
        else:
            taken = bool(takers) or device.id in self._task.in_use.devices
        if taken:
            self._eligibility.refuse(plan, device, Reason.IN_USE)
        return taken

    def take(self, claim: int, plan: Plan, device: Device) -> Pick | None:
        """Take an eligible device, or None if something stands against it now.

        Raises:
            AllocationError: mode All needs the device and a constraint forbids it.
        """
        if self.is_taken(claim, plan, device) or not self._has_counters(plan, device):
            return None
        if (taint := untolerated_taint(device, plan.request)) is not None:
            detail = f"{taint.get('key')}={taint.get('value', '')}:{taint.get('effect')}"
            self._eligibility.refuse(plan, device, Reason.TAINT, detail)
            return None
        if not self._constrain(claim, plan, device):
            return None
        if not self._eligibility.has_capacity(plan, device):
            self._release(self._constraints[claim], plan, device)
            return None
        return self._record(claim, plan, device)

    def give_back(self, claim: int, plan: Plan, pick: Pick) -> None:
        """Undo the latest `take`."""
        device = pick.device
        self._picks[claim].pop()
        self._release(self._constraints[claim], plan, device)
        if device.is_shareable:
            self._shares[device.id] -= 1
            self._eligibility.unreserve(device.id, pick.consumed)
        else:
            self._takers[device.id].discard(claim)
        self._count(device, CounterLedger.give_back)

    def _record(self, claim: int, plan: Plan, device: Device) -> Pick:
        self._count(device, CounterLedger.take)
        if device.is_shareable:
            consumed = capacity.consumptions(device, plan.request.capacity)
            pick = Pick(plan.request, device, self._task.share_ids(), consumed)
            self._shares[device.id] += 1
            self._eligibility.reserve(device.id, consumed)
        else:
            pick = Pick(plan.request, device)
            self._takers[device.id].add(claim)
        self._picks[claim].append(pick)
        return pick

    def _constrain(self, claim: int, plan: Plan, device: Device) -> bool:
        added: list[Checker] = []
        for checker, constraint in zip(
            self._constraints[claim], plan.claim.constraints, strict=True
        ):
            if checker.add(plan.request, device):
                added.append(checker)
                continue
            self._eligibility.refuse(plan, device, Reason.CONSTRAINT, constraint.attribute)
            self._release(added, plan, device)
            if plan.request.mode == ALL:
                raise AllocationError(
                    f"claim {plan.claim.key}, request {plan.request.name}: cannot add device "
                    f"{device.id} because a claim constraint would not be satisfied"
                )
            return False
        return True

    def _release(self, checkers: list[Checker], plan: Plan, device: Device) -> None:
        for checker in checkers:
            checker.remove(plan.request, device)

    def _has_counters(self, plan: Plan, device: Device) -> bool:
        if not device.consumes or self._has_shares(device):
            return True
        if self._ledger(device).has_room_for(device):
            return True
        self._eligibility.refuse(plan, device, Reason.COUNTER)
        return False

    def _count(self, device: Device, change: Callable[[CounterLedger, Device], None]) -> None:
        """Only the first share of a device, like an exclusive use, moves its counters."""
        if device.consumes and not self._has_shares(device):
            change(self._ledger(device), device)

    def _has_shares(self, device: Device) -> bool:
        return device.is_shareable and (
            device.id in self._task.in_use.consumed or self._shares[device.id] > 0
        )

    def _ledger(self, device: Device) -> CounterLedger:
        pool = PoolId(device.id.driver, device.id.pool)
        if pool not in self._ledgers:
            self._ledgers[pool] = CounterLedger(self._pools[pool], self._task.in_use)
        return self._ledgers[pool]
