"""Which changes can help a pod that waits: only those make the scheduler try again."""

from __future__ import annotations

from pydra_testbed.objects import KubeObject
from pydra_testbed.reflector import Change
from pydra_testbed.scheduler import extended
from pydra_testbed.scheduler.filters import is_ready
from pydra_testbed.scheduler.podclaims import is_allocated, reservations


def is_relevant_to_itself(change: Change) -> bool:
    """A pending pod appeared, or what it asks for changed; a condition about it did not change that."""
    if change.old is None or change.new is None:
        return True
    return _asks(change.old) != _asks(change.new)


def _asks(pod: KubeObject) -> tuple[object, ...]:
    status = pod.get("status") or {}
    labels = pod["metadata"].get("labels")
    return pod["spec"], labels, status.get("resourceClaimStatuses")


def frees_devices(change: Change) -> bool:
    """A claim gave up its allocation, its deletion included."""
    had = change.old is not None and is_allocated(change.old)
    return had and (change.new is None or not is_allocated(change.new))


def frees_resources(change: Change) -> bool:
    """A pod that held extended resources of its node is done or gone."""
    held = change.old is not None and extended.holds(change.old)
    return held and (change.new is None or not extended.holds(change.new))


def concerns_its_pods(change: Change) -> bool:
    """A claim came, went, was allocated or lost consumers: the pods that name it may go on."""
    if change.old is None or change.new is None:
        return True
    return _state(change.old) != _state(change.new)


def _state(claim: KubeObject) -> tuple[object, ...]:
    deleting = bool(claim["metadata"].get("deletionTimestamp"))
    return deleting, is_allocated(claim), len(reservations(claim))


def is_new_to_pods(change: Change) -> bool:
    """A slice or class changed, or a node did in more than its heartbeat."""
    if change.resource != "nodes" or change.old is None or change.new is None:
        return True
    return _offers(change.old) != _offers(change.new)


def _offers(node: KubeObject) -> tuple[object, ...]:
    allocatable = (node.get("status") or {}).get("allocatable")
    return node.get("spec"), node["metadata"].get("labels"), is_ready(node), allocatable
