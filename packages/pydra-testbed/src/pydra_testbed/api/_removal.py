"""Removing objects: grace, finalizers, preconditions, and namespaces with all they hold.

Dependents are the garbage collector's work: `Foreground` and `Orphan` only leave it a finalizer here. What a
namespace holds is the namespace controller's; an empty one goes at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pydra_testbed.api._core import Core, Target
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._problems import failed_precondition
from pydra_testbed.api._store import Stored, pack
from pydra_testbed.clock import rfc3339
from pydra_testbed.objects import KubeObject, Preconditions

_DONE_PHASES = ("Succeeded", "Failed")
_DEFAULT_GRACE = 30
GARBAGE_FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
"""By propagation policy, what an owner waits for until the garbage collector has dealt with its dependents."""


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How a deletion is meant; `grace_seconds` None means the object's own, `propagation` empty the kind's."""

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
    if target.kind.qualified_plural == "namespaces":
        return _delete_namespace(core, target, obj)
    propagation = options.propagation or _propagation(target.kind)
    return _delete(core, target, current, obj, grace, propagation)


def _check(target: Target, current: Stored, asked: Preconditions | None) -> None:
    if asked is None:
        return
    if asked.uid and asked.uid != current.uid:
        raise failed_precondition(target.kind, target.name, "UID", asked.uid, current.uid)
    version = str(current.version)
    if asked.resource_version and asked.resource_version != version:
        raise failed_precondition(
            target.kind, target.name, "ResourceVersion", asked.resource_version, version
        )


def _grace(kind: Kind, obj: KubeObject, asked: int | None) -> int:
    """Only a running pod gets time to end."""
    if kind.qualified_plural != "pods":
        return 0
    if not obj["spec"].get("nodeName") or obj["status"].get("phase") in _DONE_PHASES:
        return 0
    if asked is not None:
        return max(0, asked)
    return int(obj["spec"].get("terminationGracePeriodSeconds", _DEFAULT_GRACE))


def _propagation(kind: Kind) -> str:
    """What a request means that names no policy; Jobs kept the answer of their first version."""
    return "Orphan" if kind.qualified_plural == "jobs.batch" else "Background"


def _delete(
    core: Core, target: Target, current: Stored, obj: KubeObject, grace: int, propagation: str
) -> Removed:
    meta, is_pod = obj["metadata"], target.kind.qualified_plural == "pods"
    held = _finalizers(meta.get("finalizers") or [], propagation)
    before = meta.get("deletionGracePeriodSeconds")
    is_known = bool(meta.get("deletionTimestamp")) and (before is None or grace >= before)
    if is_known and held == (meta.get("finalizers") or []):
        return Removed(current, gone=False)
    if grace == 0 and not held and not is_pod:
        return Removed(finish(core, target.kind, obj), gone=True)
    meta["finalizers"] = held
    if not held:
        del meta["finalizers"]
    if not is_known:
        _mark(core, obj, grace)
    marked = core.store.put(core.bucket(target.kind), obj)
    if grace or held:
        return Removed(marked, gone=False)
    return Removed(finish(core, target.kind, obj), gone=True)


def _finalizers(present: list[str], propagation: str) -> list[str]:
    """With the garbage collector's own as the policy wants them."""
    others = [name for name in present if name not in GARBAGE_FINALIZERS.values()]
    wanted = GARBAGE_FINALIZERS.get(propagation)
    return [*others, wanted] if wanted else others


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
    """Nothing new is let in from now on; the namespace goes when the last of its objects has gone."""
    if not obj["metadata"].get("deletionTimestamp"):
        _mark(core, obj, 0)
        obj.setdefault("status", {})["phase"] = "Terminating"
        core.store.put(core.bucket(target.kind), obj)
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
