"""Why a node refuses a pod before devices matter: switched off, taints, labels, resources, claims elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from pydra_testbed.explain.cards import backed_by_devices, device_obstacles
from pydra_testbed.explain.model import Kind, Obstacle
from pydra_testbed.explain.subject import Subject
from pydra_testbed.objects import KubeObject, key_of
from pydra_testbed.scheduler import extended, filters
from pydra_testbed.scheduler.cycle import Snapshot
from pydra_testbed.scheduler.model import Node
from pydra_testbed.scheduler.nodes import selector_matches
from pydra_testbed.scheduler.parsing import allocation_results
from pydra_testbed.scheduler.taints import is_tolerated


def node_obstacles(
    subject: Subject, snapshot: Snapshot, body: KubeObject, node: Node
) -> Iterator[Obstacle]:
    """What the node itself has against the pod."""
    if filters.refusal(subject.pod, body, node):
        yield _refused(subject.pod, body, node)
    wanted = extended.wanted(subject.pod)
    held = extended.in_use(snapshot.pods).get(node.name, {}) if wanted else {}
    backed = backed_by_devices(wanted, snapshot, body)
    yield from device_obstacles(subject.pod, backed, snapshot, node)
    plain = {name: amount for name, amount in wanted.items() if name not in backed}
    for name in extended.missing(plain, body, held):
        text = f"not enough {name}: {wanted[name]} asked, beside what running pods hold"
        yield Obstacle(Kind.RESOURCE, text, "is the device plugin of that resource running there?")
    for member in subject.members:
        if not _is_available(member.claim, node):
            where = home(member.claim) or "another node"
            text = f"claim {key_of(member.claim)} is allocated already, on {where}: {_held(member.claim)}"
            remedy = "let the pod run there, or delete the claim to have it allocated anew"
            yield Obstacle(Kind.CLAIM_ELSEWHERE, text, remedy)


def _refused(pod: KubeObject, body: KubeObject, node: Node) -> Obstacle:
    spec, tolerations = body.get("spec") or {}, pod["spec"].get("tolerations") or ()
    why = filters.refusal(pod, body, node)
    if "unschedulable" in why:
        return _node("the node is cordoned (unschedulable)", f"kubectl uncordon {node.name}")
    if "taint" in why:
        if not filters.is_ready(body):
            return _node("the node is not Ready", f"kubectl describe node {node.name} says why")
        taints = [t for t in spec.get("taints") or () if not is_tolerated(t, tolerations)]
        shown = ", ".join(f"{t['key']}={t.get('value', '')}:{t['effect']}" for t in taints)
        return _node(f"the node has taints that the pod does not tolerate: {shown}", "")
    wanted = pod["spec"].get("nodeSelector") or {}
    wrong = [f"{key}={value}" for key, value in wanted.items() if node.labels.get(key) != value]
    if wrong:
        has = ", ".join(f"{k.partition('=')[0]}={_label(node, k)}" for k in wrong)
        return _node(f"the pod's nodeSelector asks for {', '.join(wrong)}; the node has {has}", "")
    return _node("the pod's node affinity does not match the node", "")


def _label(node: Node, wanted: str) -> str:
    return node.labels.get(wanted.partition("=")[0], "(no such label)")


def _node(text: str, remedy: str) -> Obstacle:
    return Obstacle(Kind.NODE, text, remedy)


def _is_available(claim: KubeObject, node: Node) -> bool:
    selector = ((claim.get("status") or {}).get("allocation") or {}).get("nodeSelector")
    return selector is None or selector_matches(selector, node)


def home(claim: KubeObject) -> str:
    """`node NAME` where an allocation is bound to one, else its requirements, empty where it is to none."""
    selector = ((claim.get("status") or {}).get("allocation") or {}).get("nodeSelector") or {}
    found = [
        (requirement["key"], requirement.get("values") or [])
        for term in selector.get("nodeSelectorTerms") or ()
        for requirement in (*(term.get("matchFields") or ()), *(term.get("matchExpressions") or ()))
    ]
    if len(found) == 1 and found[0][0] == "metadata.name":
        return f"node {', '.join(found[0][1])}"
    joined = ", ".join(f"{key} in {'/'.join(values)}" for key, values in found)
    return f"nodes with {joined}" if joined else ""


def _held(claim: KubeObject) -> str:
    return ", ".join(allocated_devices(claim))


def allocated_devices(claim: KubeObject) -> tuple[str, ...]:
    """The devices of an allocation, `driver/pool/device`, with what a share consumes."""
    return tuple(_device(dict(result)) for result in allocation_results(claim))


def _device(result: KubeObject) -> str:
    consumed = result.get("consumedCapacity") or {}
    parts = ", ".join(f"{amount} {name.rpartition('/')[2]}" for name, amount in consumed.items())
    name = f"{result['driver']}/{result['pool']}/{result['device']}"
    return f"{name} ({parts})" if parts else name
