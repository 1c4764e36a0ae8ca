"""Requests made ready for the search: class found, how many devices, for mode All which ones.

What is wrong here is wrong whatever device is tried, so it ends the allocation at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydra_testbed.scheduler.eligibility import Eligibility
from pydra_testbed.scheduler.model import (
    ALL,
    EXACT_COUNT,
    MAX_RESULTS,
    AllocationError,
    Claim,
    Device,
    DeviceClass,
    Request,
)
from pydra_testbed.scheduler.pools import Pool
from pydra_testbed.scheduler.task import AllocationInput


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One request or alternative; `devices` is what mode All means on this node, else None."""

    claim: Claim
    request: Request
    device_class: DeviceClass
    count: int
    devices: tuple[Device, ...] | None = None


PlannedGroup = tuple[Plan, ...]


def plan_claims(
    task: AllocationInput, pools: tuple[Pool, ...], eligibility: Eligibility
) -> tuple[tuple[PlannedGroup, ...], ...]:
    """Plan every request of every claim.

    Raises:
        AllocationError: no such class, a pool that mode All cannot count, a failing selector, or more
            devices than a claim can hold.
    """
    return tuple(_plan_claim(task, claim, pools, eligibility) for claim in task.claims)


def _plan_claim(
    task: AllocationInput, claim: Claim, pools: tuple[Pool, ...], eligibility: Eligibility
) -> tuple[PlannedGroup, ...]:
    groups = tuple(
        tuple(_plan(task, claim, request, pools, eligibility) for request in group.alternatives)
        for group in claim.groups
    )
    fewest = sum(min(plan.count for plan in group) for group in groups)
    if fewest > MAX_RESULTS:
        raise AllocationError(
            f"claim {claim.key}: number of requested devices {fewest} "
            f"exceeds the claim limit of {MAX_RESULTS}"
        )
    return groups


def _plan(
    task: AllocationInput,
    claim: Claim,
    request: Request,
    pools: tuple[Pool, ...],
    eligibility: Eligibility,
) -> Plan:
    where = f"claim {claim.key}, request {request.name}"
    device_class = task.classes.get(request.class_name)
    if device_class is None:
        raise AllocationError(
            f"{where}: could not retrieve device class {request.class_name}: "
            f'deviceclass.resource.k8s.io "{request.class_name}" not found'
        )
    if request.mode == EXACT_COUNT:
        return Plan(claim, request, device_class, request.count)
    if request.mode != ALL:
        raise AllocationError(f"{where}: unsupported count mode {request.mode}")
    open_plan = Plan(claim, request, device_class, 0)
    devices = []
    for pool in pools:
        if not pool.is_usable:
            state = "being updated" if pool.is_incomplete else "invalid"
            raise AllocationError(
                f"{where}: asks for all devices, but resource pool {pool.id} is currently {state}"
            )
        devices += [device for device in pool.devices if eligibility.admits(open_plan, device)]
    return Plan(claim, request, device_class, len(devices), tuple(devices))
