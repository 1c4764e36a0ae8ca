"""Background garbage collection: objects whose owners are all gone are deleted, by UID.

Started by the cluster. Foreground and orphaning deletion are not offered by the testbed's API server. An
owner of a kind that the testbed does not serve counts as present.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from pydra_testbed.clock import Clock
from pydra_testbed.objects import (
    Api,
    ApiStatusError,
    KubeObject,
    ObjectRef,
    Patch,
    Preconditions,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from pydra_testbed.reflector import Change, Reflectors
from pydra_testbed.workqueue import WorkQueue

_NOT_FOUND = 404
_NAMESPACED = {
    ("", "Pod"): "pods",
    ("", "ConfigMap"): "configmaps",
    ("", "Secret"): "secrets",
    ("", "ServiceAccount"): "serviceaccounts",
    ("coordination.k8s.io", "Lease"): "leases",
    ("resource.k8s.io", "ResourceClaim"): "resourceclaims",
    ("resource.k8s.io", "ResourceClaimTemplate"): "resourceclaimtemplates",
}
_CLUSTER = {
    ("", "Node"): "nodes",
    ("resource.k8s.io", "DeviceClass"): "deviceclasses",
    ("resource.k8s.io", "ResourceSlice"): "resourceslices",
}


class GarbageCollector:
    """Deletes what has lost its owners, until cancelled."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._queue = WorkQueue(clock, self._reconcile)
        resources = (*_NAMESPACED.values(), *_CLUSTER.values())
        self._seen = Reflectors(api, clock, resources, self._on_change)
        self._dependants: defaultdict[str, set[str]] = defaultdict(set)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._seen.run())
            await self._seen.synced()
            group.create_task(self._queue.run())

    def _on_change(self, change: Change) -> None:
        item = f"{change.resource}|{key_of(change.object)}"
        for body in filter(None, (change.old, change.new)):
            for owner in _owners(body):
                self._dependants[owner["uid"]].discard(item)
        if change.new is None:
            for dependant in self._dependants.pop(uid_of(change.object), ()):
                self._queue.add(dependant)
            return
        for owner in _owners(change.new):
            self._dependants[owner["uid"]].add(item)
        if _owners(change.new):
            self._queue.add(item)

    async def _reconcile(self, item: str) -> None:
        resource, _, key = item.partition("|")
        obj = self._seen[resource].get(key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return
        owners = _owners(obj)
        present = [owner for owner in owners if await self._exists(namespace_of(obj), owner)]
        if len(present) == len(owners):
            return
        ref = ObjectRef(resource, name_of(obj), namespace_of(obj))
        try:
            if present:
                metadata = {
                    "ownerReferences": present,
                    "resourceVersion": obj["metadata"]["resourceVersion"],
                }
                await self._api.patch(ref, Patch({"metadata": metadata}))
            else:
                await self._api.delete(ref, preconditions=Preconditions(uid=uid_of(obj)))
        except ApiStatusError as problem:
            if problem.code != _NOT_FOUND:
                raise

    async def _exists(self, namespace: str, owner: KubeObject) -> bool:
        """Whether the owner is there; absence in the local copy is checked with the API server."""
        group = owner["apiVersion"].rpartition("/")[0]
        kind = (group, owner["kind"])
        resource = _NAMESPACED.get(kind) or _CLUSTER.get(kind)
        where = namespace if kind in _NAMESPACED else ""
        if resource is None or (kind in _NAMESPACED and not where):
            return True
        key = f"{where}/{owner['name']}" if where else owner["name"]
        found = self._seen[resource].get(key)
        if found is None or uid_of(found) != owner["uid"]:
            try:
                found = await self._api.get(resource, owner["name"], where)
            except ApiStatusError as problem:
                if problem.code != _NOT_FOUND:
                    raise
                return False
        return uid_of(found) == str(owner["uid"])


def _owners(obj: KubeObject) -> list[KubeObject]:
    return obj["metadata"].get("ownerReferences") or []
