"""What is compared of objects: their projections, as the recording has them, and the recording's events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydra_testbed.fidelity._lifecycle.naming import canonical
from pydra_testbed.fidelity.model import Record
from pydra_testbed.objects import KubeObject

_NOT_SEEN = ("actor", "t")
_TIMES = frozenset({"startTime", "completionTime", "conditions"})
_OVER = frozenset({"Succeeded", "Failed"})


def recorded(record: Record) -> list[KubeObject]:
    """The watch events of a record, in the common form."""
    timeline, _ = canonical(list(record["timeline"]), {})
    return [entry for entry in timeline if entry["actor"] == "watch"]


def sane(events: list[KubeObject]) -> list[KubeObject]:
    """The same without the endless adding and removing of pods that have completed."""
    over: set[str] = set()
    kept: list[KubeObject] = []
    last: dict[str, KubeObject] = {}
    for event in events:
        if event["kind"] == "Pod" and event.get("phase") in _OVER:
            over.add(event["name"])
        if event["kind"] == "ResourceClaim":
            names = [c["name"] for c in event.get("reservedFor") or ()]
            if over.intersection(names):
                continue
            state = {key: value for key, value in event.items() if key != "t"}
            if last.get(event["name"]) == state:
                continue
            last[event["name"]] = state
        kept.append(event)
    return kept


def pod(body: KubeObject) -> KubeObject:
    """A pod's projection."""
    status = body.get("status") or {}
    return _metadata(body) | _full(
        {
            "phase": status.get("phase"),
            "nodeName": body["spec"].get("nodeName"),
            "resourceClaimStatuses": status.get("resourceClaimStatuses"),
            "extendedResourceClaimStatus": status.get("extendedResourceClaimStatus"),
            "conditions": [
                [c["type"], c["status"], c.get("reason"), c.get("message", "")]
                for c in status.get("conditions") or ()
            ],
        }
    )


def claim(body: KubeObject) -> KubeObject:
    """A claim's projection; `allocated` is always there."""
    metadata, status = body["metadata"], body.get("status") or {}
    allocation = status.get("allocation")
    results = ((allocation or {}).get("devices") or {}).get("results") or ()
    full = _full(
        {
            "reservedFor": status.get("reservedFor"),
            "ownerReferences": metadata.get("ownerReferences"),
            "annotations": metadata.get("annotations"),
            "labels": metadata.get("labels"),
            "generateName": metadata.get("generateName"),
            "devices": [
                {
                    "device": entry["device"],
                    "conditions": [[c["type"], c["status"]] for c in entry.get("conditions") or ()],
                }
                for entry in status.get("devices") or ()
            ],
        }
    )
    devices = None if allocation is None else [result["device"] for result in results]
    return _metadata(body) | {"allocated": devices} | full


def job(body: KubeObject) -> KubeObject:
    """A Job's projection."""
    status = body.get("status") or {}
    conditions = [[c["type"], c["status"], c["reason"]] for c in status.get("conditions") or ()]
    numbers = {key: value for key, value in status.items() if key not in _TIMES}
    return {"name": body["metadata"]["name"]} | _full({"status": numbers, "conditions": conditions})


def event(body: KubeObject) -> KubeObject:
    """An Event's projection, without its count: that tells which of two APIs a component writes through."""
    about = body["involvedObject"]
    source = (body.get("source") or {}).get("component") or body.get("reportingComponent")
    return {
        "regarding": f"{about['kind']}/{about['name']}",
        "type": body["type"],
        "reason": body["reason"],
        "message": body["message"],
        "source": source,
    }


def compared(entry: Mapping[str, Any]) -> KubeObject:
    """A recorded event without what is not compared."""
    left = {key: value for key, value in entry.items() if key not in _NOT_SEEN}
    if left.get("kind") == "Event":
        left.pop("count", None)
    return left


def _metadata(body: KubeObject) -> KubeObject:
    metadata = body["metadata"]
    return {"name": metadata["name"]} | _full(
        {
            "deleting": bool(metadata.get("deletionTimestamp")) or None,
            "deletionGracePeriodSeconds": metadata.get("deletionGracePeriodSeconds"),
            "finalizers": metadata.get("finalizers"),
        }
    )


def _full(fields: KubeObject) -> KubeObject:
    return {key: value for key, value in fields.items() if value not in (None, [], {}, "")}


PROJECTIONS: Mapping[str, tuple[str, Callable[[KubeObject], KubeObject]]] = {
    "pods": ("Pod", pod),
    "resourceclaims": ("ResourceClaim", claim),
    "jobs": ("Job", job),
    "events": ("Event", event),
}
"""By resource: the kind as recordings name it, and its projection."""
