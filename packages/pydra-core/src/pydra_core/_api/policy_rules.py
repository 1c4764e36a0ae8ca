"""The limits of a capacity's request policy (KEP-5075); `rules` asks them of each capacity."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from pydra_core._values import Capacity, RequestPolicy, ValidRange
from pydra_core.quantity import Quantity, QuantityError, parse

_MOST_VALUES = 10


def policy_faults(where: str, capacity: Capacity, *, shareable: bool) -> Iterator[str]:
    """What the API server would refuse of a capacity with a request policy."""
    policy = capacity.policy
    if policy is None:
        return
    if not shareable:
        yield f"{where}: a request policy needs a shareable device"
    if policy.valid_range and policy.valid_values:
        yield f"{where}: give valid_range or valid_values, not both"
    if (policy.valid_range or policy.valid_values) and not policy.default:
        yield f"{where}: a restricted request needs a default"
    unreadable = [f for text in _texts(policy) for f in quantity_faults(where, text)]
    yield from unreadable
    if unreadable or not policy.default or [*quantity_faults(where, capacity.value)]:
        return
    default, whole = parse(policy.default), parse(capacity.value)
    if policy.valid_values:
        yield from _values(where, default, whole, [parse(v) for v in policy.valid_values])
    if policy.valid_range:
        yield from _range(where, default, whole, policy.valid_range)


def quantity_faults(where: str, value: str | int) -> Iterator[str]:
    """Whether it is a quantity."""
    try:
        parse(str(value))
    except QuantityError as err:
        yield f"{where}: {value!r} is no quantity: {err}"


def _texts(policy: RequestPolicy) -> Iterator[str]:
    """Every quantity of a policy; only a default, a maximum and a step may be left out."""
    yield from policy.valid_values
    optional = [policy.default]
    if policy.valid_range:
        yield policy.valid_range.minimum
        optional += [policy.valid_range.maximum, policy.valid_range.step]
    yield from filter(None, optional)


def _values(
    where: str, default: Quantity, whole: Quantity, values: list[Quantity]
) -> Iterator[str]:
    if len(values) > _MOST_VALUES:
        yield f"{where}: {len(values)} valid values, at most {_MOST_VALUES}"
    if any(before.value() >= after.value() for before, after in pairwise(values)):
        yield f"{where}: valid values must ascend, each once, also when rounded up to whole numbers"
    if any(value > whole for value in values):
        yield f"{where}: a valid value is more than the capacity, {whole}"
    if default not in values:
        yield f"{where}: the default, {default}, must be one of the valid values"


def _range(where: str, default: Quantity, whole: Quantity, allowed: ValidRange) -> Iterator[str]:
    low = parse(allowed.minimum)
    high = parse(allowed.maximum) if allowed.maximum else whole
    if not low <= high <= whole:
        yield f"{where}: minimum {low}, maximum {high} and capacity {whole} must not descend"
    if not low <= default <= (high if allowed.maximum else default):
        yield f"{where}: the default, {default}, is not from {low} to {high}"
    if allowed.step:
        ends = (default, high) if allowed.maximum else (default,)
        yield from _step(where, whole, low, parse(allowed.step), ends)


def _step(
    where: str, whole: Quantity, low: Quantity, step: Quantity, ends: tuple[Quantity, ...]
) -> Iterator[str]:
    """Kubernetes counts steps in whole numbers, rounded up."""
    if step.value() == 0:
        yield f"{where}: a step must be more than zero"
        return
    if low + step > whole:
        yield f"{where}: one step from the minimum, {low + step}, is more than the capacity, {whole}"
    for value in ends:
        if (value.value() - low.value()) % step.value():
            yield f"{where}: {value} cannot be reached in steps of {step} from {low}"
