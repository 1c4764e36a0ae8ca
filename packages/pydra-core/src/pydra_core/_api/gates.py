"""Which feature gate a field of a slice belongs to, and what an API server leaves out when one is off.

The server drops such fields without a word. Telling the operator the gate's name saves a night, and what a server
has dropped once is not sent to it again, or each look would find a difference.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from pydra_core.errors import DroppedFieldsError

_DEVICE = "spec.devices[]"
_ATTRIBUTE = f"{_DEVICE}.attributes[]"
GATES = {
    "spec.sharedCounters": "DRAPartitionableDevices",
    "spec.perDeviceNodeSelection": "DRAPartitionableDevices",
    f"{_DEVICE}.consumesCounters": "DRAPartitionableDevices",
    f"{_DEVICE}.nodeName": "DRAPartitionableDevices",
    f"{_DEVICE}.nodeSelector": "DRAPartitionableDevices",
    f"{_DEVICE}.allNodes": "DRAPartitionableDevices",
    f"{_DEVICE}.taints": "DRADeviceTaints",
    f"{_DEVICE}.allowMultipleAllocations": "DRAConsumableCapacity",
    f"{_DEVICE}.capacity[].requestPolicy": "DRAConsumableCapacity",
    f"{_DEVICE}.bindsToNode": "DRADeviceBindingConditions",
    f"{_DEVICE}.bindingConditions": "DRADeviceBindingConditions",
    f"{_DEVICE}.bindingFailureConditions": "DRADeviceBindingConditions",
    f"{_DEVICE}.nodeAllocatableResourceMappings": "DRANodeAllocatableResources",
    **{
        f"{_ATTRIBUTE}.{kind}s": "DRAListTypeAttributes"
        for kind in ("int", "bool", "string", "version")
    },
}
"""Field to gate, Kubernetes 1.36."""

_MAPS = ("attributes", "capacity", "counters")
"""Fields that are maps by name; `[]` stands for each of their entries."""


def dropped_fields(sent: Any, stored: Any, path: str = "spec") -> set[str]:
    """The fields that were sent and are not stored, as paths with `[]` for each entry of a list or map."""
    found: set[str] = set()
    if isinstance(sent, dict) and isinstance(stored, dict):
        for name, value in sent.items():
            below = f"{path}[]" if path.rpartition(".")[2] in _MAPS else f"{path}.{name}"
            if name in stored:
                found |= dropped_fields(value, stored[name], below)
            elif value not in ([], {}, None):
                found.add(below)
    elif isinstance(sent, list) and isinstance(stored, list):
        for left, right in zip(sent, stored, strict=False):
            found |= dropped_fields(left, right, f"{path}[]")
    return found


def without(content: dict[str, Any], paths: Collection[str], path: str = "spec") -> dict[str, Any]:
    """A slice's content without these fields."""
    return _without(content, paths, path) if paths else content


def _without(node: Any, paths: Collection[str], path: str) -> Any:
    if isinstance(node, list):
        return [_without(entry, paths, f"{path}[]") for entry in node]
    if not isinstance(node, dict):
        return node
    is_map = path.rpartition(".")[2] in _MAPS
    ways = {name: f"{path}[]" if is_map else f"{path}.{name}" for name in node}
    return {n: _without(v, paths, ways[n]) for n, v in node.items() if ways[n] not in paths}


def dropped_error(name: str, paths: Collection[str]) -> DroppedFieldsError:
    """Say which fields a server dropped, and which gates they belong to."""
    gates = sorted({GATES[path] for path in paths if path in GATES})
    error = DroppedFieldsError(
        f"slice {name}: the API server dropped {', '.join(_told(paths))}; switch these on there, or stop publishing"
        " the fields"
    )
    error.fields["gates"] = tuple(gates)
    return error


def _told(paths: Collection[str]) -> Iterator[str]:
    for path in sorted(paths):
        gate = GATES.get(path)
        yield f"{path} (feature gate {gate})" if gate else f"{path} (of a newer Kubernetes)"
