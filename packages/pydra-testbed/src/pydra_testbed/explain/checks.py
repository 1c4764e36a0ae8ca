"""What can be wrong before any node is looked at: classes, admin access, full claims; and what is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from pydra_testbed.explain.model import Kind, Obstacle
from pydra_testbed.explain.subject import Subject
from pydra_testbed.objects import KubeObject, key_of, namespace_of
from pydra_testbed.scheduler.podclaims import is_allocated, is_reserved_for, reservations

ADMIN_LABEL = "resource.kubernetes.io/admin-access"
_MAX_CONSUMERS = 256


def before_nodes(subject: Subject) -> Iterator[Obstacle]:
    """Everything that no node could cure."""
    yield from subject.obstacles
    for member in subject.members:
        claim = member.claim
        if len(reservations(claim)) >= _MAX_CONSUMERS and not is_reserved_for(claim, subject.pod):
            text = f"claim {key_of(claim)} is reserved for {_MAX_CONSUMERS} pods, which is the most"
            yield Obstacle(
                Kind.CLAIM_FULL, text, "wait for one of them to end, or use another claim"
            )
        if not is_allocated(claim):
            yield from _classes(subject, claim)
            yield from _admin_access(subject, claim)


def _requests(claim: KubeObject) -> Iterator[tuple[str, KubeObject]]:
    """Every exact request and every alternative with its full name."""
    for request in (claim["spec"].get("devices") or {}).get("requests") or ():
        if request.get("exactly"):
            yield request["name"], request["exactly"]
        for sub in request.get("firstAvailable") or ():
            yield f"{request['name']}/{sub['name']}", sub


def _classes(subject: Subject, claim: KubeObject) -> Iterator[Obstacle]:
    known = subject.world.classes
    for name, request in _requests(claim):
        wanted = request["deviceClassName"]
        if wanted in known:
            continue
        close = get_close_matches(wanted, known, n=1, cutoff=0.6)
        hint = f"did you mean {close[0]}?" if close else f"classes are: {_names(known)}"
        text = f"claim {key_of(claim)}, request {name}: device class {wanted} does not exist"
        yield Obstacle(Kind.NO_CLASS, text, f"create it, or ask for another; {hint}")


def _names(known: object) -> str:
    return ", ".join(sorted(known)) if isinstance(known, dict) and known else "none"


def _admin_access(subject: Subject, claim: KubeObject) -> Iterator[Obstacle]:
    namespace = subject.world.namespaces.get(namespace_of(claim))
    if namespace is None:
        return
    if (namespace["metadata"].get("labels") or {}).get(ADMIN_LABEL) == "true":
        return
    for name, request in _requests(claim):
        if request.get("adminAccess"):
            where = f"claim {key_of(claim)}, request {name}"
            text = f"{where}: asks for adminAccess, which namespace {namespace_of(claim)} does not allow"
            remedy = f"an administrator can label the namespace: {ADMIN_LABEL}=true"
            yield Obstacle(Kind.ADMIN_ACCESS, text, remedy)


def waiting_for(subject: Subject) -> Iterator[str]:
    """What has to pass by itself, or by somebody's hand, before the scheduler looks at the pod at all."""
    pod = subject.pod
    if pod["metadata"].get("deletionTimestamp"):
        yield "the pod is being deleted"
    for gate in pod["spec"].get("schedulingGates") or ():
        yield f"scheduling gate {gate['name']} has to be removed from the pod"
    for member in subject.members:
        metadata = member.claim["metadata"]
        if metadata.get("deletionTimestamp"):
            holders = ", ".join(metadata.get("finalizers") or ()) or "nothing"
            yield f"claim {key_of(member.claim)} is being deleted (held by finalizers: {holders})"
