"""Extended resources that nodes advertise (device plugins): what a pod asks for and what is left of it.

Resources that a DeviceClass maps to devices are `special`'s matter where the node does not advertise them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydra_core.quantity import Quantity, parse
from pydra_testbed.objects import KubeObject
from pydra_testbed.podlimits import pod_limits
from pydra_testbed.scheduler.model import ZERO
from pydra_testbed.scheduler.special import IMPLICIT

Amounts = dict[str, Quantity]
_TERMINAL = frozenset({"Succeeded", "Failed"})


def is_extended(resource: str) -> bool:
    """Names with a domain, Kubernetes' own aside."""
    domain, slash, _ = resource.partition("/")
    is_foreign = bool(slash) and not domain.endswith("kubernetes.io")
    return is_foreign or resource.startswith(IMPLICIT)


def wanted(pod: KubeObject) -> Amounts:
    """What a pod needs of its node's extended resources."""
    return {name: amount for name, amount in pod_limits(pod).items() if is_extended(name)}


def holds(pod: KubeObject) -> bool:
    """Whether the pod has resources of its node now."""
    is_over = (pod.get("status") or {}).get("phase") in _TERMINAL
    return bool(pod["spec"].get("nodeName")) and not is_over and bool(wanted(pod))


def in_use(pods: Iterable[KubeObject]) -> dict[str, Amounts]:
    """What running pods hold, by node."""
    used: dict[str, Amounts] = {}
    for pod in pods:
        if not holds(pod):
            continue
        held = used.setdefault(pod["spec"]["nodeName"], {})
        for name, amount in wanted(pod).items():
            held[name] = held.get(name, ZERO) + amount
    return used


def missing(asked: Amounts, node: KubeObject, held: Mapping[str, Quantity]) -> list[str]:
    """The resources of which the node has not enough left."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    return sorted(
        name
        for name, amount in asked.items()
        if held.get(name, ZERO) + amount > parse(str(allocatable.get(name, "0")))
    )


def is_advertised(resource: str, node: KubeObject) -> bool:
    """Whether the node has any of the resource, free or not."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    return parse(str(allocatable.get(resource, "0"))) > ZERO
