"""Garbage collection by owner references: what has lost its owners goes, and what deletions wait for.

Started by the cluster. Background: an object without any owner left is deleted, by UID. Foreground: an owner
with the finalizer `foregroundDeletion` stays until dependents that block its deletion are gone. Orphan: an
owner with the finalizer `orphan` stays until no dependent refers to it. Kinds are those the API server serves
when this starts; an owner of another kind counts as present.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from pydra_testbed.clock import Clock
from pydra_testbed.controllers.owned import is_leaving
from pydra_testbed.objects import (
    Api,
    ApiStatusError,
    KubeObject,
    ObjectRef,
    Patch,
    Preconditions,
    ResourceKind,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from pydra_testbed.reflector import Change, Reflectors
from pydra_testbed.workqueue import WorkQueue

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_NOT_FOUND = 404
# Nothing owns or is owned by them, and they change all the time.
_SKIPPED = frozenset({"events"})


class GarbageCollector:
    """Deletes what has lost its owners, until cancelled."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._queue = WorkQueue(clock, self._reconcile)
        kinds = [kind for kind in api.kinds() if kind.resource not in _SKIPPED]
        self._kinds = {(_group(kind.api_version), kind.kind): kind for kind in kinds}
        resources = tuple(kind.resource for kind in kinds)
        self._seen = Reflectors(api, clock, resources, self._on_change)
        self._dependents: defaultdict[str, set[str]] = defaultdict(set)

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
                self._dependents[owner["uid"]].discard(item)
        if change.new is None:
            self._gone(change.object)
            return
        for owner in _owners(change.new):
            self._dependents[owner["uid"]].add(item)
        if is_leaving(change.new) and _waits(change.new):
            for dependent in sorted(self._dependents.get(uid_of(change.new), ())):
                self._queue.add(dependent)
            self._queue.add(item)
        elif _owners(change.new):
            self._queue.add(item)

    def _gone(self, obj: KubeObject) -> None:
        for dependent in self._dependents.pop(uid_of(obj), ()):
            self._queue.add(dependent)
        for owner in _owners(obj):
            if found := self._find(namespace_of(obj), owner):
                self._queue.add(found[0])

    async def _reconcile(self, item: str) -> None:
        resource, _, key = item.partition("|")
        obj = self._seen[resource].get(key)
        if obj is None:
            return
        ref = ObjectRef(resource, name_of(obj), namespace_of(obj))
        try:
            if not is_leaving(obj):
                await self._collect(ref, obj)
            elif _waits(obj):
                await self._settle(ref, obj)
        except ApiStatusError as problem:
            if problem.code != _NOT_FOUND:
                raise

    async def _collect(self, ref: ObjectRef, obj: KubeObject) -> None:
        """Delete what only owners that are gone, or going with their dependents, refer to."""
        owners = _owners(obj)
        states = [await self._state(ref.namespace, owner) for owner in owners]
        solid = [owner for owner, state in zip(owners, states, strict=True) if state == _SOLID]
        if len(solid) == len(owners):
            return
        if solid:
            await self._keep_owners(ref, obj, solid)
            return
        blocks = _WAITING in states and any(owner.get("blockOwnerDeletion") for owner in owners)
        policy = "Foreground" if blocks and self._dependents.get(uid_of(obj)) else "Background"
        here = Preconditions(uid=uid_of(obj))
        await self._api.delete(ref, preconditions=here, propagation=policy)

    async def _settle(self, ref: ObjectRef, obj: KubeObject) -> None:
        """Deal with the dependents of an owner that waits for that, then let it go."""
        dependents = self._dependents_of(obj)
        if ORPHAN in obj["metadata"]["finalizers"]:
            for item, dependent in dependents:
                others = [o for o in _owners(dependent) if o["uid"] != uid_of(obj)]
                where = ObjectRef(item, name_of(dependent), namespace_of(dependent))
                await self._keep_owners(where, dependent, others)
            await self._release(ref, obj, ORPHAN)
        elif not any(_blocks(dependent, obj) for _, dependent in dependents):
            await self._release(ref, obj, FOREGROUND)

    async def _keep_owners(self, ref: ObjectRef, obj: KubeObject, owners: list[KubeObject]) -> None:
        version = obj["metadata"]["resourceVersion"]
        metadata = {"ownerReferences": owners or None, "resourceVersion": version}
        await self._api.patch(ref, Patch({"metadata": metadata}))

    async def _release(self, ref: ObjectRef, obj: KubeObject, finalizer: str) -> None:
        metadata = obj["metadata"]
        left = [name for name in metadata["finalizers"] if name != finalizer]
        body = {"finalizers": left or None, "resourceVersion": metadata["resourceVersion"]}
        await self._api.patch(ref, Patch({"metadata": body}))

    def _dependents_of(self, obj: KubeObject) -> list[tuple[str, KubeObject]]:
        """Resource and body of each."""
        found = []
        for item in sorted(self._dependents.get(uid_of(obj), ())):
            resource, _, key = item.partition("|")
            if (body := self._seen[resource].get(key)) is not None:
                found.append((resource, body))
        return found

    def _find(self, namespace: str, owner: KubeObject) -> tuple[str, KubeObject] | None:
        """Queue item and body of an owner, as far as it has been seen."""
        kind = self._kind_of(owner)
        if kind is None:
            return None
        key = f"{namespace}/{owner['name']}" if kind.namespaced else str(owner["name"])
        found = self._seen[kind.resource].get(key)
        if found is None or uid_of(found) != owner["uid"]:
            return None
        return f"{kind.resource}|{key}", found

    async def _state(self, namespace: str, owner: KubeObject) -> str:
        """Absence in the local copy is checked with the API server."""
        kind = self._kind_of(owner)
        if kind is None or (kind.namespaced and not namespace):
            return _SOLID
        seen = self._find(namespace, owner)
        found = seen[1] if seen else None
        if found is None:
            try:
                where = namespace if kind.namespaced else ""
                found = await self._api.get(kind.resource, owner["name"], where)
            except ApiStatusError as problem:
                if problem.code != _NOT_FOUND:
                    raise
                return _GONE
        if uid_of(found) != str(owner["uid"]):
            return _GONE
        is_waiting = is_leaving(found) and FOREGROUND in found["metadata"].get("finalizers", ())
        return _WAITING if is_waiting else _SOLID

    def _kind_of(self, owner: KubeObject) -> ResourceKind | None:
        return self._kinds.get((_group(owner["apiVersion"]), owner["kind"]))


_SOLID, _WAITING, _GONE = "solid", "waiting", "gone"


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _owners(obj: KubeObject) -> list[KubeObject]:
    return obj["metadata"].get("ownerReferences") or []


def _waits(obj: KubeObject) -> bool:
    """Whether it holds one of the garbage collector's finalizers."""
    return not {FOREGROUND, ORPHAN}.isdisjoint(obj["metadata"].get("finalizers") or ())


def _blocks(dependent: KubeObject, owner: KubeObject) -> bool:
    return any(
        ref.get("blockOwnerDeletion") for ref in _owners(dependent) if ref["uid"] == uid_of(owner)
    )
