"""One DaemonSet's pods: which nodes get one, and what the pod for a node looks like."""

from __future__ import annotations

from collections.abc import Mapping

from pydra_testbed.controllers.owned import pod_from
from pydra_testbed.controllers.tolerations import matches
from pydra_testbed.objects import KubeObject, name_of

REVISION = "controller-revision-hash"
_GENERATION = "pod-template-generation"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_NAME_FIELD = "metadata.name"
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

# A daemon stays where others have to leave, and starts where others may not.
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    (_UNSCHEDULABLE, "NoSchedule"),
)
_TOLERATIONS = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in _TOLERATED]


def eligible(owner: KubeObject, node: KubeObject, *, is_there: bool) -> bool:
    """Whether the node is to have a pod: selector, affinity to names and labels, taints.

    A pod that is there already stays until a NoExecute taint says otherwise.
    """
    spec = owner["spec"]["template"]["spec"]
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED)
    if required and not any(
        _fits(term, labels, name_of(node)) for term in required["nodeSelectorTerms"]
    ):
        return False
    tolerations = [*(spec.get("tolerations") or ()), *_TOLERATIONS]
    for taint in (node.get("spec") or {}).get("taints") or ():
        effects = {"NoExecute"} if is_there else {"NoSchedule", "NoExecute"}
        forbids = taint.get("effect") in effects
        if forbids and not any(matches(taint, toleration) for toleration in tolerations):
            return False
    return True


def _fits(term: KubeObject, labels: Mapping[str, str], name: str) -> bool:
    """Whether all requirements of a term hold; an empty term fits no node."""
    found = [_holds(each, labels) for each in term.get("matchExpressions") or ()]
    found += [_holds(each, {_NAME_FIELD: name}) for each in term.get("matchFields") or ()]
    return bool(found) and all(found)


def _holds(requirement: KubeObject, values: Mapping[str, str]) -> bool:
    value, wanted = values.get(requirement["key"]), requirement.get("values") or []
    match requirement["operator"]:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and value.isdecimal() and int(value) > int(wanted[0])
    return value is not None and value.isdecimal() and int(value) < int(wanted[0])


def daemon_pod(owner: KubeObject, node: str, revision: str) -> KubeObject:
    """The pod for one node: tied to it by affinity to its name, which the scheduler follows."""
    generation = str(owner["metadata"]["generation"])
    pod = pod_from(owner, {REVISION: revision, _GENERATION: generation})
    spec = pod["spec"]
    spec["tolerations"] = [*(spec.get("tolerations") or ()), *_TOLERATIONS]
    field = {"key": _NAME_FIELD, "operator": "In", "values": [node]}
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    terms = (affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or [{}]
    affinity[_REQUIRED] = {
        "nodeSelectorTerms": [{**term, "matchFields": [field]} for term in terms]
    }
    return pod


def node_of(pod: KubeObject) -> str:
    """The node a daemon's pod is on, or is meant for while it waits."""
    if bound := pod["spec"].get("nodeName"):
        return str(bound)
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    for term in (affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field["key"] == _NAME_FIELD:
                return str(field["values"][0])
    return name_of(pod)
