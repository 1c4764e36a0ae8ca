"""Changing objects: whole, by status, by patch; always against the version they were read at."""

from __future__ import annotations

from typing import Any

from pydra_testbed.api._apply.managers import Ownership
from pydra_testbed.api._apply.ownership import own_changed, record
from pydra_testbed.api._context import Writer
from pydra_testbed.api._core import Core, Options, Target, Written
from pydra_testbed.api._creates import create
from pydra_testbed.api._emit import emit
from pydra_testbed.api._gates import drop_disabled
from pydra_testbed.api._intake import carrying, take_in
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._policies import Write, admit
from pydra_testbed.api._problems import (
    bad_request,
    conflict,
    invalid,
    needs_version,
    not_found,
)
from pydra_testbed.api._removal import finish
from pydra_testbed.api._store import Stored, pack
from pydra_testbed.api._strategies import strategy_of
from pydra_testbed.objects import ApiStatusError, KubeObject

_KEPT = (
    "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip


def update(core: Core, target: Target, body: Any, options: Options) -> Written:
    """Replace an object, or with the subresource `status` its status.

    Raises:
        ApiStatusError: 400, 404, 409 (stale resourceVersion, other uid), 422.
    """
    _check_name(target, body)
    current = core.bucket(target.kind).objects.get((target.namespace, target.name))
    if current is None:
        if target.kind.create_on_update and not target.subresource:
            return create(core, target, body, options)
        raise not_found(target.kind, target.name)
    return replaced(core, target, body, options)


def replaced(
    core: Core, target: Target, body: Any, options: Options, owners: Ownership | None = None
) -> Written:
    """Put a body in the place of the object that is there; `owners` say whose fields are whose, if known.

    Raises:
        ApiStatusError: as `update`.
    """
    current = core.find(target)
    new, warnings = take_in(core, target, body, options)
    with carrying(warnings):
        _check_version(target, new["metadata"], current)
        written = _owned(core, target, new, current, options, owners)
        old = current.decode()
        write = Write("UPDATE", target, written, old, options.writer, options.dry_run)
        warnings += admit(core, write)
        return _replace(core, target, written, current, options, warnings)


def _owned(
    core: Core,
    target: Target,
    new: KubeObject,
    current: Stored,
    options: Options,
    owners: Ownership | None,
) -> KubeObject:
    """The new object as it is to be stored, with whose fields are whose."""
    old = current.decode()
    claimed = new["metadata"].pop("managedFields", None)
    written = _judged(core, target, new, old, options.writer)
    written["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    if owners is None:
        own_changed(core, target, (old, written), claimed, options)
    else:
        record(written, owners)
    return written


def _check_name(target: Target, body: Any) -> None:
    meta = body.get("metadata") if isinstance(body, dict) else None
    name = meta.get("name") if isinstance(meta, dict) else None
    if not name:
        raise bad_request(
            f"the name of the object ({target.name} based on URL) was undeterminable: "
            "name must be provided"
        )
    if name != target.name:
        raise bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        )


def _check_version(target: Target, meta: KubeObject, current: Stored) -> None:
    """A resourceVersion or uid in the body must be the stored one."""
    version, uid = meta.get("resourceVersion", ""), meta.get("uid", "")
    if version and not version.isdecimal():
        message = f'strconv.ParseUint: parsing "{version}": invalid syntax'
        raise ApiStatusError(500, "", message)
    if version in {"", "0"} and not target.kind.unconditional_update:
        raise needs_version(target.kind, target.name)
    if uid and uid != current.uid:
        raise conflict(target.kind, target.name, _other_uid(target, uid, current.uid))
    if version not in {"", "0"} and int(version) != current.version:
        raise conflict(target.kind, target.name)


def _other_uid(target: Target, asked: str, actual: str) -> str:
    """An update meets this in the storage, which says so."""
    key = "/".join(filter(None, (target.kind.plural, target.namespace, target.name)))
    return (
        f"StorageError: invalid object, Code: 4, Key: /{key}, ResourceVersion: 0, "
        f"AdditionalErrorMsg: Precondition failed: UID in precondition: {asked}, "
        f"UID in object meta: {actual}"
    )


def _replace(
    core: Core,
    target: Target,
    written: KubeObject,
    current: Stored,
    options: Options,
    warnings: tuple[str, ...],
) -> Written:
    old = current.decode()
    warnings += strategy_of(target.kind).warn(written)
    if written == old:
        return Written(current, warnings)
    bucket = core.bucket(target.kind)
    if options.dry_run:
        return Written(pack(written, current.version, bucket.selectable), warnings)
    if _is_finished(written):
        # Watchers see the last stored state, finalizer and all; the caller sees what it wrote.
        finish(core, target.kind, old)
        return Written(pack(written, current.version, bucket.selectable), warnings)
    return Written(core.store.put(bucket, written), warnings)


def _judged(
    core: Core, target: Target, new: KubeObject, old: KubeObject, writer: Writer
) -> KubeObject:
    """The new object in stored form: only what this path may change, filled in and valid."""
    strategy, status = strategy_of(target.kind), target.subresource == "status"
    context = core.context(target.namespace, writer, target.kind.version)
    keep_server_made(new, old)
    if status:
        new = old | {"status": new.get("status", {}), "metadata": dict(old["metadata"])}
    elif "status" in old:
        new["status"] = old["status"]
    elif target.kind.has_status:
        new.pop("status", None)
    (strategy.prepare_status if status else strategy.prepare)(new, old, context)
    gated = strategy.status_gated if status else strategy.gated
    drop_disabled(new, old, context.gates, gated)
    strategy.default(new, context)
    judge = strategy.status if status else strategy.update
    causes = judge(new, old, context)
    if causes:
        raise invalid(target.kind, target.name, causes)
    written = emit(new, strategy.shape)
    if target.kind.has_generation and _wanted(target.kind, written) != _wanted(target.kind, old):
        written["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    return written


def _wanted(kind: Kind, obj: KubeObject) -> Any:
    """What a new generation means a change of: for custom resources everything but metadata and status."""
    if kind.definition is None:
        return obj.get("spec")
    left_out = {"metadata", "status"} if kind.has_status else {"metadata"}
    return {key: value for key, value in obj.items() if key not in left_out}


def keep_server_made(new: KubeObject, old: KubeObject) -> None:
    """Metadata that only the server writes stays as it is."""
    meta = new["metadata"]
    for name in _KEPT:
        if name in old["metadata"]:
            meta[name] = old["metadata"][name]
        else:
            meta.pop(name, None)


def _is_finished(obj: KubeObject) -> bool:
    """A deleted object goes when nothing holds it any more."""
    meta = obj["metadata"]
    held = meta.get("finalizers") or meta.get("deletionGracePeriodSeconds")
    return bool(meta.get("deletionTimestamp")) and not held
