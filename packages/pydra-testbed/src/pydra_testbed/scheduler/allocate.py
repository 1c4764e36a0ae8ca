"""Structured allocation: which devices do the claims of a pod get on a node (KEP-4381 and its extensions).

Pure: the same input gives the same devices (share IDs aside). The scheduler asks it node by node;
`pydra explain` asks it again with a sink.
"""

from __future__ import annotations

from pydra_testbed.scheduler.attempt import Attempt
from pydra_testbed.scheduler.eligibility import Eligibility
from pydra_testbed.scheduler.plan import plan_claims
from pydra_testbed.scheduler.pools import Pool
from pydra_testbed.scheduler.result import allocation
from pydra_testbed.scheduler.search import Search, SearchTooLongError
from pydra_testbed.scheduler.task import Allocated, AllocationInput, ClaimAllocation, Refused
from pydra_testbed.scheduler.trace import Reason, Refusal, TraceSink

CANNOT_ALLOCATE = "cannot allocate all claims"
TIMED_OUT = "timed out trying to allocate devices"
INVALID_POOLS = "invalid resource pools were encountered"


def allocate(task: AllocationInput, trace: TraceSink | None = None) -> Allocated | Refused:
    """Find devices for all claims together, or say that the node cannot give them.

    Raises:
        AllocationError: something that no other node would cure; its text is the scheduler's.
    """
    pools = task.inventory.pools_for(task.node)
    if trace is not None:
        _report_unusable(task, pools, trace)
    eligibility = Eligibility(task, trace)
    plans = plan_claims(task, pools, eligibility)
    candidates = tuple(device for pool in pools if pool.is_usable for device in pool.devices)
    attempt = Attempt(task, pools, eligibility)
    search = Search(plans, candidates, eligibility, attempt, task.most_steps)
    try:
        solution = search.run()
    except SearchTooLongError:
        return Refused(TIMED_OUT)
    if solution is None:
        invalid = any(pool.invalid for pool in pools)
        return Refused(INVALID_POOLS if invalid else CANNOT_ALLOCATE)
    return Allocated(
        tuple(
            ClaimAllocation(claim, allocation(claim, picks, task.classes, task.node.name))
            for claim, picks in zip(task.claims, solution, strict=True)
        )
    )


def _report_unusable(task: AllocationInput, pools: tuple[Pool, ...], trace: TraceSink) -> None:
    claims = ", ".join(claim.key for claim in task.claims)
    for pool in pools:
        if not pool.is_usable:
            reason = Reason.POOL_INCOMPLETE if pool.is_incomplete else Reason.POOL_INVALID
            trace.refused(
                Refusal(task.node.name, claims, "", str(pool.id), None, reason, pool.invalid)
            )
