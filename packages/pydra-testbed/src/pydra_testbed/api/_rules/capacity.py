"""A device's capacity and the policy for requesting parts of it (KEP-5075).

Arithmetic is done on whole numbers rounded up, as in Kubernetes 1.36.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pydra_core.quantity import Quantity, parse
from pydra_testbed.api._causes import Causes, forbidden, invalid, not_found, required
from pydra_testbed.api._names import qualified_name
from pydra_testbed.api._rules.lists import entries, unique
from pydra_testbed.objects import KubeObject

OPTIONS_MAX = 10


def capacity(field: str, device: KubeObject) -> Causes:
    """All capacities of one device; policies need a device that may be shared."""
    check = _shared if device.get("allowMultipleAllocations") else _exclusive
    return entries(f"{field}.capacity", device.get("capacity"), qualified_name, check)


def _exclusive(field: str, entry: KubeObject) -> Causes:
    if entry.get("requestPolicy") is None:
        return []
    return [forbidden(f"{field}.requestPolicy", "allowMultipleAllocations must be true")]


def _shared(field: str, entry: KubeObject) -> Causes:
    policy = entry.get("requestPolicy")
    if policy is None:
        return []
    path = f"{field}.requestPolicy"
    values, interval = policy.get("validValues") or [], policy.get("validRange")
    if values and interval is not None:
        detail = (
            'exactly one policy can be specified, cannot specify "validValues" and '
            '"validRange" at the same time'
        )
        return [forbidden(path, detail)]
    if not values and interval is None:
        return []
    name = "validValues" if values else "validRange"
    if policy.get("default") is None:
        return [required(f"{path}.default", f"required when {name} is defined")]
    default, whole = parse(policy["default"]), parse(entry.get("value", "0"))
    if values:
        return _values(f"{path}.validValues", default, whole, [parse(text) for text in values])
    return _range(f"{path}.validRange", default, whole, interval)


def _values(field: str, default: Quantity, whole: Quantity, values: list[Quantity]) -> Causes:
    found: Causes = [
        invalid(f"{field}[{index + 1}]", str(after), "values must be sorted in ascending order")
        for index, (before, after) in enumerate(pairwise(values))
        if before > after
    ]

    def fits(path: str, value: Any) -> Causes:
        detail = f"option is larger than capacity value: {whole}"
        return [invalid(path, str(value), detail)] if value > whole else []

    found += unique(field, values, OPTIONS_MAX, fits, lambda value: str(value.value()))
    if default not in values or len(values) > OPTIONS_MAX:
        detail = "default value is not valid according to the requestPolicy"
        found.append(invalid(field, str(default), detail))
    return found


def _range(field: str, default: Quantity, whole: Quantity, interval: KubeObject) -> Causes:
    if interval.get("min") is None:
        return [required(f"{field}.min", "required when validRange is defined")]
    low = parse(interval["min"])
    found: Causes = []
    if low > whole:
        found.append(
            invalid(f"{field}.min", str(low), f"min is larger than capacity value: {whole}")
        )
    if default < low:
        found.append(invalid(f"{field}.min", str(default), f"default is less than min: {low}"))
    high = None if interval.get("max") is None else parse(interval["max"])
    if high is not None:
        found += _upper(f"{field}.max", default, whole, low, high)
    if interval.get("step") is not None:
        found += _step(f"{field}.step", whole, low, parse(interval["step"]), (default, high))
    return found


def _upper(field: str, default: Quantity, whole: Quantity, low: Quantity, high: Quantity) -> Causes:
    found: Causes = []
    if low > high:
        found.append(invalid(field, str(low), f"min is larger than max: {high}"))
    if high > whole:
        found.append(invalid(field, str(high), f"max is larger than capacity value: {whole}"))
    if default > high:
        found.append(invalid(field, str(default), f"default is more than max: {high}"))
    return found


def _step(
    field: str,
    whole: Quantity,
    low: Quantity,
    step: Quantity,
    values: tuple[Quantity, Quantity | None],
) -> Causes:
    """A step of zero is refused: Kubernetes 1.36 divides by it and drops the connection."""
    if step.value() == 0:
        return [invalid(field, str(step), "must be greater than zero")]
    found: Causes = []
    first = low + step
    if first > whole:
        detail = f"one step {first} is larger than capacity value: {whole}"
        found.append(invalid(field, str(step), detail))
    detail = f"value is not a multiple of a given step ({step}) from ({low})"
    found += [
        invalid(field, str(value), detail)
        for value in values
        if value is not None and (value.value() - low.value()) % step.value()
    ]
    return found


def allocatable(field: str, device: KubeObject) -> Causes:
    """What a device takes from the node's own resources (KEP-5517, behind its gate)."""
    known = device.get("capacity") or {}
    mappings = device.get("nodeAllocatableResourceMappings") or {}
    found: Causes = []
    for name, mapping in mappings.items():
        path = f"{field}.nodeAllocatableResourceMappings[{name}]"
        if "/" in name and "kubernetes.io/" not in name:
            found.append(invalid(path, name, "must be a node allocatable resource name"))
        key = mapping.get("capacityKey")
        if key == "":
            detail = "capacityKey must not be an empty string"
            found.append(invalid(f"{path}.capacityKey", "", detail))
        elif key is not None and key not in known:
            found.append(not_found(f"{path}.capacityKey", key))
        factor = parse(mapping.get("allocationMultiplier", "1"))
        if factor.sign() <= 0:
            detail = "must be positive"
            found.append(invalid(f"{path}.allocationMultiplier", str(factor), detail))
    return found
