"""Whether this node takes a pod that was bound to it, asked once when the pod arrives.

A refused pod is Failed and stays so, as with the real kubelet.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydra_testbed.kubelet.deviceplugins import DeviceError, TopologyError
from pydra_testbed.objects import KubeObject


def rejection(
    pod: KubeObject, labels: Mapping[str, str], pods_here: int, max_pods: int
) -> tuple[str, str] | None:
    """Reason and message for `status`, or None when the pod may run."""
    wanted = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        why = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        return _rejected("NodeAffinity", why)
    if pods_here >= max_pods:
        numbers = f"requested: 1, used: {pods_here}, capacity: {max_pods}"
        return _rejected("OutOfpods", f"Node didn't have enough resource: pods, {numbers}")
    return None


def unallocated(error: DeviceError) -> tuple[str, str]:
    """Reason and message of a pod whose devices could not be allocated; nobody tries it again."""
    if isinstance(error, TopologyError):
        return _rejected("TopologyAffinityError", str(error))
    return _rejected(
        "UnexpectedAdmissionError", f"Allocate failed due to {error}, which is unexpected"
    )


def _rejected(reason: str, why: str) -> tuple[str, str]:
    return reason, f"Pod was rejected: {why}"
