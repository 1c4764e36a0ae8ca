"""Which nodes a pod may run on, claims aside: scheduling switched off, taints, selector and affinity.

Reasons are spelled as the scheduler's conditions spell them. What the testbed does not model (resources
of nodes, ports, volumes, spreading, affinity between pods) refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydra_testbed.objects import KubeObject
from pydra_testbed.scheduler.model import Node
from pydra_testbed.scheduler.nodes import selector_matches, term_matches
from pydra_testbed.scheduler.taints import is_tolerated

Body = Mapping[str, Any]
_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def refusal(pod: KubeObject, body: KubeObject, node: Node) -> str:
    """Why the pod cannot run on the node, empty if it can."""
    spec = pod["spec"]
    tolerations = spec.get("tolerations") or ()
    if body.get("spec", {}).get("unschedulable") and not is_tolerated(_UNSCHEDULABLE, tolerations):
        return "node(s) were unschedulable"
    if any(not is_tolerated(taint, tolerations) for taint in _taints(body)):
        return "node(s) had untolerated taint(s)"
    if not _wants(spec, node):
        return "node(s) didn't match Pod's node affinity/selector"
    return ""


def _taints(body: KubeObject) -> list[Body]:
    taints = [
        taint
        for taint in body.get("spec", {}).get("taints") or ()
        if taint.get("effect") in {"NoSchedule", "NoExecute"}
    ]
    # A cluster's node controller turns a failing Ready condition into this taint.
    return taints if is_ready(body) else [*taints, _NOT_READY]


def is_ready(body: KubeObject) -> bool:
    """Whether the node reports Ready; a node that reports nothing counts as ready."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    return all(c.get("status") == "True" for c in conditions if c.get("type") == "Ready")


def _wants(spec: Body, node: Node) -> bool:
    wanted: Mapping[str, str] = spec.get("nodeSelector") or {}
    if any(node.labels.get(key) != value for key, value in wanted.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or selector_matches(required, node)


def preference(pod: KubeObject, node: Node) -> int:
    """The sum of the weights of preferred terms that the node matches."""
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    terms = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return sum(term["weight"] for term in terms if term_matches(term["preference"], node))
