"""What a pod's claims look like to the claim controller: entries, generated names, whether the pod is done."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

from pydra_testbed.objects import KubeObject, name_of, namespace_of, uid_of

ANNOTATION = "resource.kubernetes.io/pod-claim-name"
FINALIZER = "resource.kubernetes.io/delete-protection"
# A name of 63 characters, less a hyphen and five random ones.
_LONGEST_BASE = 57
_TERMINAL = frozenset({"Succeeded", "Failed"})


def is_done(pod: KubeObject) -> bool:
    """Whether the pod no longer needs its claims: finished, or deleted before it got a node."""
    phase = (pod.get("status") or {}).get("phase")
    never_ran = pod["metadata"].get("deletionTimestamp") and not pod["spec"].get("nodeName")
    return phase in _TERMINAL or bool(never_ran)


def claim_keys(pod: KubeObject) -> Iterator[str]:
    """`namespace/name` of every claim the pod is known to use, that for extended resources among them."""
    extended = (pod.get("status") or {}).get("extendedResourceClaimStatus") or {}
    for entry in (*entries(pod), *statuses(pod), extended):
        if name := entry.get("resourceClaimName"):
            yield f"{namespace_of(pod)}/{name}"


def entries(pod: KubeObject) -> Iterable[KubeObject]:
    """`spec.resourceClaims`."""
    return pod["spec"].get("resourceClaims") or ()


def statuses(pod: KubeObject) -> Iterable[KubeObject]:
    """`status.resourceClaimStatuses`."""
    return (pod.get("status") or {}).get("resourceClaimStatuses") or ()


def unmade_entries(pod: KubeObject) -> list[KubeObject]:
    """Template entries whose claim the pod's status does not name yet."""
    made = {status["name"] for status in statuses(pod)}
    return [
        entry
        for entry in entries(pod)
        if entry.get("resourceClaimTemplateName") and entry["name"] not in made
    ]


def controller_uid(obj: KubeObject) -> str:
    """UID of the owner that controls the object, empty without one."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def claim_from_template(pod: KubeObject, entry: str, template: KubeObject) -> KubeObject:
    """The claim to create; labels and annotations of the template are kept."""
    wanted = template["spec"]
    metadata = copy.deepcopy(wanted.get("metadata") or {})
    metadata["generateName"] = generate_name(name_of(pod), entry)
    metadata["annotations"] = {**(metadata.get("annotations") or {}), ANNOTATION: entry}
    metadata["ownerReferences"] = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": name_of(pod),
            "uid": uid_of(pod),
            "controller": True,
        }
    ]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": metadata,
        "spec": copy.deepcopy(wanted["spec"]),
    }


def generate_name(pod: str, entry: str) -> str:
    """`<pod>-<entry>-`, both cut in proportion when together they leave no room for the random part."""
    base = f"{pod}-{entry}-"
    if len(base) <= _LONGEST_BASE:
        return base
    pod_part = _LONGEST_BASE * len(pod) // len(base)
    return f"{pod[:pod_part]}-{entry}"[:_LONGEST_BASE]


def is_pod(consumer: KubeObject) -> bool:
    """Whether an entry of `reservedFor` means a pod."""
    return not consumer.get("apiGroup") and consumer.get("resource") == "pods"


def consumer_of(pod: KubeObject) -> KubeObject:
    """The entry of `reservedFor` for a pod."""
    return {"resource": "pods", "name": name_of(pod), "uid": uid_of(pod)}
