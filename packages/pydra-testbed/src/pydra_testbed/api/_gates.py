"""Fields that a switched-off feature gate drops before validation.

A field stays when the stored object uses it already, as in Kubernetes' `dropDisabledFields`. Called by the
kinds' strategies of resource.k8s.io.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydra_testbed.objects import KubeObject

_DEVICE = "spec.devices[]"
SLICE_FIELDS: Mapping[str, tuple[str, ...]] = {
    "DRAConsumableCapacity": (
        f"{_DEVICE}.allowMultipleAllocations",
        f"{_DEVICE}.capacity[].requestPolicy",
    ),
    "DRADeviceBindingConditions": (
        f"{_DEVICE}.bindsToNode",
        f"{_DEVICE}.bindingConditions",
        f"{_DEVICE}.bindingFailureConditions",
    ),
    "DRADeviceTaints": (f"{_DEVICE}.taints",),
    "DRAListTypeAttributes": (f"{_DEVICE}.attributes[].ints|bools|strings|versions",),
    "DRANodeAllocatableResources": (f"{_DEVICE}.nodeAllocatableResourceMappings",),
    "DRAPartitionableDevices": (
        "spec.sharedCounters",
        "spec.perDeviceNodeSelection",
        f"{_DEVICE}.consumesCounters",
        f"{_DEVICE}.nodeName",
        f"{_DEVICE}.nodeSelector",
        f"{_DEVICE}.allNodes",
    ),
}


def claim_fields(prefix: str) -> Mapping[str, tuple[str, ...]]:
    """The gated fields of a claim's spec at `prefix` (`spec` or, in templates, `spec.spec`)."""
    request = f"{prefix}.devices.requests[]"
    either = (f"{request}.exactly", f"{request}.firstAvailable[]")
    return {
        "DRAConsumableCapacity": (
            *(f"{path}.capacity" for path in either),
            f"{prefix}.devices.constraints[].distinctAttribute",
        ),
        "DRADeviceTaints": tuple(f"{path}.tolerations" for path in either),
        "DRAPrioritizedList": (f"{request}.firstAvailable",),
    }


_RESULT = "status.allocation.devices.results[]"
STATUS_FIELDS: Mapping[str, tuple[str, ...]] = {
    "DRAConsumableCapacity": (f"{_RESULT}.shareID", f"{_RESULT}.consumedCapacity"),
    "DRADeviceBindingConditions": (
        f"{_RESULT}.bindingConditions",
        f"{_RESULT}.bindingFailureConditions",
        "status.allocation.allocationTimestamp",
    ),
    "DRAResourceClaimDeviceStatus": ("status.devices",),
}
POD_STATUS_FIELDS: Mapping[str, tuple[str, ...]] = {
    "DRAExtendedResource": ("status.extendedResourceClaimStatus",)
}
CLASS_FIELDS: Mapping[str, tuple[str, ...]] = {
    "DRAExtendedResource": ("spec.extendedResourceName",)
}


def drop_disabled(
    obj: KubeObject,
    old: KubeObject | None,
    gates: Mapping[str, bool],
    gated: Mapping[str, tuple[str, ...]],
) -> None:
    """Remove from `obj` the fields whose gate is off, unless `old` uses one of that gate's fields."""
    for gate, paths in gated.items():
        if gates.get(gate, True) or (old is not None and _in_use(old, paths)):
            continue
        drop_fields(obj, paths)


def drop_fields(obj: KubeObject, paths: Iterable[str]) -> None:
    """Remove from `obj` what stands at these paths."""
    for path in paths:
        steps, names = _steps(path)
        for holder in _holders(obj, steps):
            for name in names:
                holder.pop(name, None)


def _in_use(obj: KubeObject, paths: tuple[str, ...]) -> bool:
    for path in paths:
        steps, names = _steps(path)
        if any(holder.get(name) for holder in _holders(obj, steps) for name in names):
            return True
    return False


def _steps(path: str) -> tuple[list[str], list[str]]:
    """The way to the objects that may hold the gated fields, and those fields (`a|b`)."""
    *steps, names = path.split(".")
    return steps, names.split("|")


def _holders(node: Any, steps: list[str]) -> Iterator[KubeObject]:
    """Every object at the end of the way; `name[]` goes through all entries of a list or map."""
    if not isinstance(node, dict):
        return
    if not steps:
        yield node
        return
    child = node.get(steps[0].removesuffix("[]"))
    if not steps[0].endswith("[]"):
        yield from _holders(child, steps[1:])
    elif child:
        for entry in child.values() if isinstance(child, dict) else child:
            yield from _holders(entry, steps[1:])
