"""Extended resources that a class maps to devices: why a node cannot give them to a pod.

`placement` asks for each node; what the node advertises itself is its matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydra_testbed.explain.model import Kind, Obstacle
from pydra_testbed.objects import KubeObject
from pydra_testbed.scheduler import AllocationError, AllocationInput, Refused, allocate, extended
from pydra_testbed.scheduler.cycle import Snapshot
from pydra_testbed.scheduler.model import Node
from pydra_testbed.scheduler.parsing import parse_claim
from pydra_testbed.scheduler.special import classes_by_resource, special_claim


def backed_by_devices(
    resources: Mapping[str, object], snapshot: Snapshot, node: KubeObject
) -> dict[str, str]:
    """Which of the resources are devices on this node, with the class that says so."""
    if not resources or not snapshot.features.extended_resources:
        return {}
    classes = classes_by_resource(snapshot.classes)
    return {
        name: classes[name]
        for name in resources
        if name in classes and not extended.is_advertised(name, node)
    }


def device_obstacles(
    pod: KubeObject, backed: Mapping[str, str], snapshot: Snapshot, node: Node
) -> Iterator[Obstacle]:
    """Says whether the node has devices for the resources together."""
    if not backed:
        return
    task = AllocationInput(
        node,
        (parse_claim(special_claim(pod, backed).body),),
        snapshot.classes,
        snapshot.inventory,
        snapshot.in_use,
        snapshot.verdicts,
    )
    try:
        result = allocate(task)
        why = result.reason if isinstance(result, Refused) else ""
    except AllocationError as problem:
        why = str(problem)
    if why:
        wanted = extended.wanted(pod)
        asked = ", ".join(f"{wanted[name]} {name}, class {cls}" for name, cls in backed.items())
        remedy = "has the node free devices of that class, without taints?"
        yield Obstacle(Kind.RESOURCE, f"no devices for the limits ({asked}): {why}", remedy)
