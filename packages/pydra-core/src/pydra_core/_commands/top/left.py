"""What nobody has: whole devices, and of a shared one what its shares leave (KEP-5075). From slices and uses.

The API server does not count it up: what a device has stands in its slice, what is taken in each claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from pydra_core._commands.top.uses import State, Use
from pydra_core.quantity import ZERO, Quantity, QuantityError, parse

_Key = tuple[str, str, str]
_Amounts = tuple[tuple[str, str], ...]


def with_free(held: Sequence[Use], slices: Iterable[Mapping[str, Any]]) -> list[Use]:
    """The uses, each shared device's with what they leave behind them; at the end the devices nobody has.

    A device of which a pod has a part without a claim leaves nothing to claims.
    """
    published = dict(sorted(_published(slices)))
    rows: list[Use] = []
    for key, group in groupby(held, key=_key):
        rows += (uses := list(group))
        device = published.pop(key, {})
        left = () if any(use.resource for use in uses) else _left(key, device, uses)
        if any(amount != "0" for _, amount in left):
            rows.append(_free(key, left))
    return [*rows, *(_free(key, _left(key, device, ())) for key, device in published.items())]


def _published(slices: Iterable[Mapping[str, Any]]) -> Iterator[tuple[_Key, Mapping[str, Any]]]:
    for spec in (each.get("spec", {}) for each in slices):
        pool = spec.get("pool", {}).get("name", "")
        for device in spec.get("devices") or ():
            yield (spec.get("driver", ""), pool, device.get("name", "")), device


def _left(key: _Key, device: Mapping[str, Any], uses: Iterable[Use]) -> _Amounts:
    """Empty for a device that only one claim can have."""
    if not device.get("allowMultipleAllocations"):
        return ()
    taken: dict[str, Quantity] = {}
    for name, amount in (each for use in uses if not use.admin for each in use.consumed):
        short = name.removeprefix(f"{key[0]}/")
        taken[short] = taken.get(short, ZERO) + _read(amount)
    return tuple(
        (f"{key[0]}/{short}" if "/" not in short else short, str(_rest(capacity, taken.get(short))))
        for short, capacity in sorted(_capacities(key[0], device))
        if _can_be_asked_for(capacity)
    )


def _capacities(driver: str, device: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, capacity in (device.get("capacity") or {}).items():
        yield name.removeprefix(f"{driver}/"), capacity


def _rest(capacity: Mapping[str, Any], taken: Quantity | None) -> Quantity:
    """What can still be asked for: whole steps, and none where less than the least is there."""
    valid = (capacity.get("requestPolicy") or {}).get("validRange") or {}
    least, step = _read(valid.get("min", "0")), _read(valid.get("step", "0"))
    left = _read(capacity.get("value", "0")) - (taken or ZERO)
    if left < least or left.sign() < 0:
        return ZERO
    return left if step.is_zero() else left - Quantity((left - least).nano % step.nano)


def _can_be_asked_for(capacity: Mapping[str, Any]) -> bool:
    """One of which no share takes any is there to be selected on."""
    policy = capacity.get("requestPolicy") or {}
    values = policy.get("validValues")
    return not values or any(not _read(value).is_zero() for value in values)


def _read(amount: str) -> Quantity:
    """What a newer server writes must not take the table away."""
    try:
        return parse(amount)
    except QuantityError:
        return ZERO


def _key(use: Use) -> _Key:
    return use.driver, use.pool, use.device


def _free(key: _Key, left: _Amounts) -> Use:
    driver, pool, device = key
    return Use(driver=driver, pool=pool, device=device, state=State.FREE, left=left)
