"""Which claims a pod uses, by what name, and whether it may.

Rules of Kubernetes' `resourceclaim` helper package, with its words, since they reach users in events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydra_testbed.objects import KubeObject, key_of, name_of, namespace_of, uid_of


class ClaimUseError(Exception):
    """The pod cannot use one of its claims, in Kubernetes' words."""


@dataclass(frozen=True, slots=True)
class PodClaim:
    """One entry of `spec.resourceClaims`: `claim` is the object's name, `owned` if made for the pod."""

    entry: str
    claim: str
    owned: bool


def pod_claims(pod: KubeObject) -> Iterator[PodClaim]:
    """The claims of a pod, without entries that intentionally have none.

    Raises `ClaimUseError` while a claim from a template is not there.
    """
    for entry in pod["spec"].get("resourceClaims") or ():
        if entry.get("resourceClaimName"):
            yield PodClaim(entry["name"], entry["resourceClaimName"], owned=False)
        elif entry.get("resourceClaimTemplateName"):
            claim = _generated(pod, entry["name"])
            if claim:
                yield PodClaim(entry["name"], claim, owned=True)
        else:
            raise ClaimUseError(
                f'pod "{key_of(pod)}", spec.resourceClaim "{entry["name"]}": '
                "none of the supported fields are set"
            )
    extended = (pod.get("status") or {}).get("extendedResourceClaimStatus")
    if extended:
        yield PodClaim("", extended["resourceClaimName"], owned=False)


def _generated(pod: KubeObject, entry: str) -> str:
    for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        if status["name"] == entry:
            return str(status.get("resourceClaimName") or "")
    raise ClaimUseError(f'pod "{key_of(pod)}": ResourceClaim not created yet')


def check_use(pod: KubeObject, claim: KubeObject, *, owned: bool) -> None:
    """Raise `ClaimUseError` unless the claim was made for the pod (`owned`) and is reserved for it."""
    if owned and not _controls(pod, claim):
        raise ClaimUseError(
            f"ResourceClaim {key_of(claim)} was not created for pod {key_of(pod)} "
            "(pod is not owner)"
        )
    reserved = (claim.get("status") or {}).get("reservedFor") or ()
    if not any(consumer.get("uid") == uid_of(pod) for consumer in reserved):
        raise ClaimUseError(
            f"pod {name_of(pod)} ({uid_of(pod)}) is not allowed to use ResourceClaim "
            f"{name_of(claim)} ({uid_of(claim)})"
        )


def _controls(pod: KubeObject, claim: KubeObject) -> bool:
    owners = claim["metadata"].get("ownerReferences") or ()
    return namespace_of(pod) == namespace_of(claim) and any(
        owner.get("controller") and owner.get("uid") == uid_of(pod) for owner in owners
    )


def allocated_drivers(claim: KubeObject) -> tuple[str, ...]:
    """The drivers of an allocation, each once; raises `ClaimUseError` without allocation."""
    allocation = (claim.get("status") or {}).get("allocation")
    if allocation is None:
        raise ClaimUseError(f"ResourceClaim {name_of(claim)}: not allocated")
    results = (allocation.get("devices") or {}).get("results") or ()
    return tuple(dict.fromkeys(result["driver"] for result in results))


def served_by_claim(pod: KubeObject, container: KubeObject, resource: str) -> bool:
    """Whether the scheduler turned this extended resource of the container into a claim (KEP-5004)."""
    extended = (pod.get("status") or {}).get("extendedResourceClaimStatus") or {}
    return any(
        (mapping["containerName"], mapping["resourceName"]) == (container["name"], resource)
        for mapping in extended.get("requestMappings") or ()
    )


def container_requests(pod: KubeObject, container: KubeObject) -> Iterator[tuple[str, str]]:
    """Claim name and request name of each entry in a container's `resources.claims`.

    An empty request means all of the claim. Entries follow the pod's order of claims. Extended
    resources the scheduler turned into a claim come last, by its request mappings.
    """
    entries = (container.get("resources") or {}).get("claims") or ()
    for claim in pod_claims(pod):
        for entry in entries:
            if claim.entry and entry["name"] == claim.entry:
                yield claim.claim, str(entry.get("request") or "")
    extended = (pod.get("status") or {}).get("extendedResourceClaimStatus") or {}
    for mapping in extended.get("requestMappings") or ():
        if mapping["containerName"] == container["name"]:
            yield extended["resourceClaimName"], str(mapping["requestName"])
