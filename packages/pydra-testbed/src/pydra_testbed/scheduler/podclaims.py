"""Which claims a pod means: by name, or through the names the claim controller wrote into its status."""

from __future__ import annotations

from collections.abc import Mapping

from pydra_testbed.objects import KubeObject, namespace_of, uid_of


class ClaimNotReadyError(Exception):
    """The pod has to wait for a claim; it gets no condition for that, as in Kubernetes."""


def claim_names(pod: KubeObject) -> dict[str, str | None]:
    """The claim name for each entry of `spec.resourceClaims`; None where the entry needs no claim.

    Raises:
        ClaimNotReadyError: the claim of a template entry has not been made yet.
    """
    statuses = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    made = {entry["name"]: entry.get("resourceClaimName") for entry in statuses}
    names: dict[str, str | None] = {}
    for entry in pod["spec"].get("resourceClaims") or ():
        if entry.get("resourceClaimName"):
            names[entry["name"]] = entry["resourceClaimName"]
        elif entry["name"] in made:
            names[entry["name"]] = made[entry["name"]]
        else:
            raise ClaimNotReadyError(
                f"the claim for {entry['name']} has not been created from its template yet"
            )
    return names


def known_claims(pod: KubeObject) -> set[str]:
    """`namespace/name` of the pod's claims as far as their names are known."""
    statuses = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    named = (*(pod["spec"].get("resourceClaims") or ()), *statuses)
    names = (entry.get("resourceClaimName") for entry in named)
    return {f"{namespace_of(pod)}/{name}" for name in names if name}


def claims_of(pod: KubeObject, claims: Mapping[str, KubeObject]) -> tuple[KubeObject, ...]:
    """The pod's claims, each once, in the order of its spec; `claims` is keyed by namespace/name.

    Raises:
        ClaimNotReadyError: a claim does not exist yet, is going away, or belongs to another pod.
    """
    templated = {
        entry["name"]
        for entry in pod["spec"].get("resourceClaims") or ()
        if entry.get("resourceClaimTemplateName")
    }
    found: dict[str, KubeObject] = {}
    for entry, name in claim_names(pod).items():
        if name is None:
            continue
        key = f"{namespace_of(pod)}/{name}"
        claim = claims.get(key)
        if claim is None:
            raise ClaimNotReadyError(f'resourceclaim "{name}" not found')
        if claim["metadata"].get("deletionTimestamp"):
            raise ClaimNotReadyError(f'resourceclaim "{name}" is being deleted')
        if entry in templated and not is_for_pod(claim, pod):
            raise ClaimNotReadyError(f'resourceclaim "{name}" was not created for this pod')
        found[key] = claim
    return tuple(found.values())


def is_for_pod(claim: KubeObject, pod: KubeObject) -> bool:
    """Whether the pod is the claim's controller."""
    owners = claim["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner["uid"] == uid_of(pod) for owner in owners)


def is_allocated(claim: KubeObject) -> bool:
    """Whether the claim has devices."""
    return (claim.get("status") or {}).get("allocation") is not None


def reservations(claim: KubeObject) -> list[KubeObject]:
    """`status.reservedFor`."""
    return list((claim.get("status") or {}).get("reservedFor") or ())


def is_reserved_for(claim: KubeObject, pod: KubeObject) -> bool:
    """Whether the pod is among the claim's consumers."""
    return any(consumer.get("uid") == uid_of(pod) for consumer in reservations(claim))
