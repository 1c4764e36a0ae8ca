"""What became of pods and claims, in the form of the recording; and where two such answers differ."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydra_testbed.fidelity._allocations.world import World
from pydra_testbed.objects import KubeObject, Selection, name_of

Answer = dict[str, Any]
_EXTENDED = "<extended claim>"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


async def pod_answer(world: World, name: str) -> Answer:
    """A pod's node, its PodScheduled condition and all its claims."""
    pod = await world.get("pods", name)
    if pod is None:
        return {"gone": True}
    conditions = pod["status"].get("conditions") or []
    failed = [c for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"]
    answer: Answer = {
        "scheduled_node": pod["spec"].get("nodeName"),
        "reason": failed[0]["reason"] if failed else None,
        "unschedulable_message": failed[0]["message"] if failed else None,
        "claims": await _claims(world, pod),
    }
    if status := copy.deepcopy(pod["status"].get("extendedResourceClaimStatus")):
        claim = await world.get("resourceclaims", status["resourceClaimName"])
        status["resourceClaimName"] = _EXTENDED
        answer["extendedResourceClaimStatus"] = status
        answer["claims"][_EXTENDED] = claim and _extended(claim, name)
    return answer


async def _claims(world: World, pod: KubeObject) -> Answer:
    statuses = pod["status"].get("resourceClaimStatuses") or []
    made = {status["name"]: status.get("resourceClaimName") for status in statuses}
    found: Answer = {}
    for entry in pod["spec"].get("resourceClaims") or ():
        named = entry.get("resourceClaimName")
        known_as = named or made.get(entry["name"])
        claim = await world.get("resourceclaims", known_as) if known_as else None
        if claim is not None:
            found[named or f"<{entry['name']} from template>"] = claim_answer(claim)
    return found


def claim_answer(claim: KubeObject) -> Answer:
    """A claim's allocation, reservations and finalizers."""
    status = copy.deepcopy(claim.get("status") or {})
    allocation = status.get("allocation")
    stamp = allocation.pop("allocationTimestamp", None) if allocation else None
    return {
        "allocation": allocation,
        "allocationTimestamp_set": stamp is not None,
        "reservedFor": [consumer["name"] for consumer in status.get("reservedFor") or ()],
        "finalizers": claim["metadata"].get("finalizers") or [],
    }


def _extended(claim: KubeObject, pod: str) -> Answer:
    pattern = re.sub(r"(?<=-)[a-z0-9]{5}$", "<5 chars>", name_of(claim))
    assert_for = claim["metadata"].get("annotations") or {}
    return {
        **claim_answer(claim),
        "spec": claim["spec"],
        "annotations": dict(assert_for),
        "name_pattern": pattern if pattern.startswith(pod) else name_of(claim),
    }


async def all_claims(world: World) -> Answer:
    """Every claim of the namespace; generated names end in `<rand>`."""
    claims = (await world.api.list("resourceclaims", Selection(world.namespace))).items
    return {
        re.sub(r"-[a-z0-9]{5}$", "-<rand>", name_of(claim))
        if claim["metadata"].get("generateName")
        else name_of(claim): claim_answer(claim)
        for claim in claims
    }


async def final_answer(world: World, record: Mapping[str, Any]) -> Answer:
    """All named claims and all pods at the end."""
    claims = {
        item["name"]: claim and claim_answer(claim)
        for item in record.get("claims") or ()
        for claim in [await world.get("resourceclaims", item["name"])]
    }
    pods: Answer = {}
    for item in record["pods"]:
        pod = await world.get("pods", item["name"])
        pods[item["name"]] = pod and {
            "scheduled_node": pod["spec"].get("nodeName"),
            "phase": pod["status"].get("phase"),
        }
    return {"final_claims": claims, "final_pods": pods}


def differences(wanted: Any, found: Any, where: str = "") -> Iterator[str]:
    """Where two answers differ; share IDs are compared by presence."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in (*wanted, *(key for key in found if key not in wanted)):
            if key == "shareID" and key in wanted and key in found:
                continue
            missing = "(nothing)"
            yield from differences(
                wanted.get(key, missing), found.get(key, missing), f"{where}.{key}"
            )
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (mine, other) in enumerate(zip(wanted, found, strict=True)):
            yield from differences(mine, other, f"{where}[{number}]")
    elif wanted != found and not (
        isinstance(wanted, str) and isinstance(found, str) and _TIME.sub("<time>", found) == wanted
    ):
        yield f"{where}: {found!r}, recorded {wanted!r}"
