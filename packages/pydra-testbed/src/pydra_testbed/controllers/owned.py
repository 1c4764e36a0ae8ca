"""Pods that a workload owns: making them from its template, finding them, telling how they are."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydra_testbed.controllers.podclaims import controller_uid
from pydra_testbed.objects import Api, KubeObject, ObjectRef, name_of, namespace_of, uid_of
from pydra_testbed.recorder import EventRecorder

# Letters that spell no words, as Kubernetes uses them in generated names.
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_HASH_LENGTH = 10
_TERMINAL = frozenset({"Succeeded", "Failed"})


def owner_reference(owner: KubeObject) -> KubeObject:
    """The reference of a dependent to the object that controls it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned_by(owner: KubeObject, objects: Iterable[KubeObject]) -> list[KubeObject]:
    """The objects it controls, oldest first."""
    mine = [obj for obj in objects if controller_uid(obj) == uid_of(owner)]
    return sorted(
        mine, key=lambda obj: (obj["metadata"].get("creationTimestamp", ""), name_of(obj))
    )


def owner_key(obj: KubeObject, kind: str) -> str:
    """`namespace/name` of the controlling owner of that kind, empty without one."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner["kind"] == kind:
            return f"{namespace_of(obj)}/{owner['name']}"
    return ""


def template_hash(template: KubeObject) -> str:
    """Ten letters that change with the template; what is empty counts as absent."""
    text = json.dumps(_pruned(template), sort_keys=True)
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_SAFE[byte % len(_SAFE)] for byte in digest[:_HASH_LENGTH])


def _pruned(value: Any) -> Any:
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    if not isinstance(value, dict):
        return value
    pruned = {key: _pruned(item) for key, item in value.items()}
    return {key: item for key, item in pruned.items() if item not in (None, {}, [], "")}


def pod_from(owner: KubeObject, labels: dict[str, str]) -> KubeObject:
    """A pod from the owner's template, with these labels besides the template's."""
    template = copy.deepcopy(owner["spec"]["template"])
    given = template.get("metadata") or {}
    metadata = {
        "generateName": f"{name_of(owner)}-",
        "namespace": namespace_of(owner),
        "labels": {**(given.get("labels") or {}), **labels},
        "annotations": given.get("annotations") or {},
        "ownerReferences": [owner_reference(owner)],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


class PodMaker:
    """Creates and deletes pods for workloads, and says so in events."""

    def __init__(self, api: Api, events: EventRecorder) -> None:
        self._api = api
        self._events = events

    async def create(self, owner: KubeObject, pod: KubeObject) -> KubeObject:
        """Raises `ApiStatusError`."""
        made = await self._api.create("pods", pod, namespace_of(owner))
        text = f"Created pod: {name_of(made)}"
        await self._events.record(owner, "Normal", "SuccessfulCreate", text)
        return made

    async def delete(self, owner: KubeObject, pod: KubeObject) -> None:
        """Raises `ApiStatusError`."""
        await self._api.delete(ObjectRef("pods", name_of(pod), namespace_of(pod)))
        text = f"Deleted pod: {name_of(pod)}"
        await self._events.record(owner, "Normal", "SuccessfulDelete", text)


def is_over(pod: KubeObject) -> bool:
    """Whether it ended by itself."""
    return (pod.get("status") or {}).get("phase") in _TERMINAL


def is_leaving(obj: KubeObject) -> bool:
    """Whether it is being deleted."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def ready_since(pod: KubeObject) -> datetime | None:
    """Since when the pod is ready, None while it is not."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            since = condition.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"]
            return datetime.fromisoformat(since)
    return None


def seconds_to_available(pod: KubeObject, min_ready: float, now: datetime) -> float | None:
    """How long a ready pod still has to stay so; 0 when it is available, None while it is not ready."""
    since = ready_since(pod)
    if since is None or is_leaving(pod):
        return None
    return max(min_ready - (now - since).total_seconds(), 0.0) if min_ready else 0.0
