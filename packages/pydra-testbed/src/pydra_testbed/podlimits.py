"""What a pod asks for as a whole: the scheduler counts it on nodes, the topology manager looks for it on NUMA nodes.

Kubernetes' formula for a pod's resources (KEP-753): containers and sidecars together, or an init container beside the
sidecars that were started before it, where that is more.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydra_core.quantity import Quantity, parse
from pydra_testbed.objects import KubeObject

_NOTHING = parse("0")
_Amounts = dict[str, Quantity]


def is_sidecar(container: KubeObject) -> bool:
    """Whether an init container is one that keeps running."""
    return bool(container.get("restartPolicy") == "Always")


def limits(container: KubeObject) -> _Amounts:
    """Of one container, by resource."""
    found = (container.get("resources") or {}).get("limits") or {}
    return {name: parse(str(text)) for name, text in found.items()}


def pod_limits(pod: KubeObject) -> _Amounts:
    """Of all containers of a pod, by resource."""
    total: _Amounts = {}
    for container in pod["spec"].get("containers") or ():
        total = _sum(total, limits(container))
    beside: _Amounts = {}
    for container in pod["spec"].get("initContainers") or ():
        if is_sidecar(container):
            total = _sum(total, limits(container))
    for container in pod["spec"].get("initContainers") or ():
        asked = _sum(beside, limits(container))
        beside = asked if is_sidecar(container) else beside
        total |= {name: max(amount, total.get(name, _NOTHING)) for name, amount in asked.items()}
    return total


def _sum(first: Mapping[str, Quantity], second: Mapping[str, Quantity]) -> _Amounts:
    names = {**first, **second}
    return {name: first.get(name, _NOTHING) + second.get(name, _NOTHING) for name in names}
