"""Removing objects: grace, finalizers, preconditions, and namespaces with all they hold.

Propagation is kept simple: `Orphan` takes the owner out of its dependents at once; `Foreground` is treated
as `Background`, whose dependents are the garbage collector's work.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pydra_testbed.api._core import Core, Target
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._problems import wrong_uid, wrong_version
from pydra_testbed.api._store import Stored, pack
from pydra_testbed.clock import rfc3339
from pydra_testbed.objects import KubeObject, Preconditions

_DONE_PHASES = ("Succeeded", "Failed")
_DEFAULT_GRACE = 30


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How a deletion is meant; `grace_seconds` None means the object's own."""

    grace_seconds: int | None = None
    preconditions: Preconditions | None = None
    propagation: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Removed:
    """The last state of an object, or its state while something still holds it."""

    stored: Stored
    gone: bool


def delete(core: Core, target: Target, options: DeleteOptions) -> Removed:
    """Delete an object, or mark it as deleted while finalizers or its grace period hold it.

    Raises:
        ApiStatusError: 404, 409 when a precondition does not hold.
    """
    current = core.find(target)
    _check(target, current, options.preconditions)
    obj = current.decode()
    grace = _grace(target.kind, obj, options.grace_seconds)
    if options.dry_run:
        return Removed(current, gone=grace == 0)
    if options.propagation == "Orphan":
        _orphan_dependents(core, current.uid)
    if target.kind.qualified_plural == "namespaces":
        return _delete_namespace(core, target, obj)
    return _delete(core, target, current, obj, grace)


def _check(target: Target, current: Stored, asked: Preconditions | None) -> None:
    if asked is None:
        return
    if asked.uid and asked.uid != current.uid:
        raise wrong_uid(target.kind, target.name, asked.uid, current.uid)
    if asked.resource_version and asked.resource_version != str(current.version):
        raise wrong_version(target.kind, target.name, asked.resource_version, str(current.version))


def _grace(kind: Kind, obj: KubeObject, asked: int | None) -> int:
    """Only a running pod gets time to end."""
    if kind.qualified_plural != "pods":
        return 0
    if not obj["spec"].get("nodeName") or obj["status"].get("phase") in _DONE_PHASES:
        return 0
    if asked is not None:
        return max(0, asked)
    return int(obj["spec"].get("terminationGracePeriodSeconds", _DEFAULT_GRACE))


def _delete(core: Core, target: Target, current: Stored, obj: KubeObject, grace: int) -> Removed:
    meta = obj["metadata"]
    if grace == 0 and not meta.get("finalizers"):
        return Removed(finish(core, target.kind, obj), gone=True)
    before = meta.get("deletionGracePeriodSeconds")
    if meta.get("deletionTimestamp") and (before is None or grace >= before):
        return Removed(current, gone=False)
    _mark(core, obj, grace)
    return Removed(core.store.put(core.bucket(target.kind), obj), gone=False)


def _mark(core: Core, obj: KubeObject, grace: int) -> None:
    end = core.clock.now() + timedelta(seconds=grace)
    obj["metadata"]["deletionTimestamp"] = rfc3339(end)
    obj["metadata"]["deletionGracePeriodSeconds"] = grace
    if "generation" in obj["metadata"]:
        obj["metadata"]["generation"] += 1


def finish(core: Core, kind: Kind, obj: KubeObject) -> Stored:
    """Take an object out of the store, and its namespace too when that waited for it."""
    last = core.store.remove(core.bucket(kind), obj)
    namespace = obj["metadata"].get("namespace", "")
    if namespace:
        _finish_namespace(core, namespace)
    return last


def _delete_namespace(core: Core, target: Target, obj: KubeObject) -> Removed:
    """A namespace takes its contents with it and goes when the last of them has gone."""
    if not obj["metadata"].get("deletionTimestamp"):
        _mark(core, obj, 0)
        obj.setdefault("status", {})["phase"] = "Terminating"
        core.store.put(core.bucket(target.kind), obj)
    for kind in core.catalog.kinds:
        for stored in core.bucket(kind).ordered():
            if kind.namespaced and stored.key[0] == target.name:
                delete(core, Target(kind, *stored.key), DeleteOptions())
    remaining = _finish_namespace(core, target.name)
    if remaining is not None:
        return Removed(remaining, gone=False)
    return Removed(pack(obj, core.store.version, ()), gone=True)


def _finish_namespace(core: Core, name: str) -> Stored | None:
    """The namespace while it is there; removes it when it is terminating, unheld and empty."""
    stored = core.namespace(name)
    if stored is None or stored.fields.get("status.phase") != "Terminating":
        return stored
    obj = stored.decode()
    occupied = any(key[0] == name for bucket in core.store.buckets() for key in bucket.objects)
    if occupied or obj["metadata"].get("finalizers"):
        return stored
    core.store.remove(core.store.bucket("namespaces"), obj)
    return None


def _orphan_dependents(core: Core, uid: str) -> None:
    for bucket in core.store.buckets():
        for stored in bucket.ordered():
            if uid.encode() not in stored.body:
                continue
            obj = stored.decode()
            owners = obj["metadata"].get("ownerReferences") or []
            kept = [owner for owner in owners if owner.get("uid") != uid]
            if len(kept) < len(owners):
                obj["metadata"].pop("ownerReferences")
                if kept:
                    obj["metadata"]["ownerReferences"] = kept
                core.store.put(bucket, obj)
