"""Consumable capacity: what a request takes of a device, and whether that still fits (KEP-5075).

Steps and ranges are computed on whole numbers, rounded up, as Kubernetes 1.36 does.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydra_core.quantity import Format, Quantity, from_int
from pydra_testbed.scheduler.model import ZERO, Capacity, Device, RequestPolicy

Amounts = Mapping[str, Quantity]


def fits(device: Device, wanted: Amounts, consumed: Amounts, pending: Amounts) -> bool:
    """Whether a request fits next to what is `consumed` already and `pending` in this search.

    Names are the exact keys of the slice; a capacity the device does not have cannot be requested from it.
    """
    if any(name not in device.capacity for name in wanted):
        return False
    for name, capacity in device.capacity.items():
        amount = consumption(wanted.get(name), capacity)
        if _violates(amount, capacity.policy):
            return False
        total = amount + consumed.get(name, ZERO) + pending.get(name, ZERO)
        if total > capacity.value:
            return False
    return True


def consumptions(device: Device, wanted: Amounts) -> dict[str, Quantity]:
    """What each capacity of a shareable device gives up to one share."""
    return {
        name: consumption(wanted.get(name), capacity) for name, capacity in device.capacity.items()
    }


def consumption(wanted: Quantity | None, capacity: Capacity) -> Quantity:
    """Round a request by the policy; without request the default counts, without default everything."""
    policy = capacity.policy
    if wanted is None:
        default = policy.default if policy is not None else None
        return capacity.value if default is None else default
    if policy is None:
        return wanted
    if policy.minimum is not None:
        return _into_range(wanted, policy, policy.minimum)
    return next((value for value in policy.valid_values if wanted <= value), wanted)


def _into_range(wanted: Quantity, policy: RequestPolicy, minimum: Quantity) -> Quantity:
    if wanted < minimum:
        return minimum
    if policy.step is None:
        return wanted
    base, step = minimum.value(), policy.step.value()
    steps = -(-(wanted.value() - base) // step)
    return from_int(base + steps * step, Format.BINARY)


def _violates(amount: Quantity, policy: RequestPolicy | None) -> bool:
    if policy is None or amount == policy.default:
        return False
    if policy.minimum is not None:
        too_much = policy.maximum is not None and amount > policy.maximum
        return too_much or _is_off_step(amount, policy, policy.minimum)
    return bool(policy.valid_values) and amount not in policy.valid_values


def _is_off_step(amount: Quantity, policy: RequestPolicy, minimum: Quantity) -> bool:
    if policy.step is None:
        return False
    return (amount.value() - minimum.value()) % policy.step.value() != 0
