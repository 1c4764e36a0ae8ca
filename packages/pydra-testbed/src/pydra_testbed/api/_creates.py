"""Creating objects: names, server-made metadata, defaults, admission of the namespace, validation."""

from __future__ import annotations

import random
import uuid
from typing import Any

from pydra_testbed.api._apply.managers import Ownership
from pydra_testbed.api._apply.ownership import own_created, record
from pydra_testbed.api._core import Core, Options, Target, Written
from pydra_testbed.api._emit import emit
from pydra_testbed.api._gates import drop_disabled
from pydra_testbed.api._intake import carrying, take_in
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._policies import Write, admit
from pydra_testbed.api._problems import already_exists, forbidden, invalid, not_found
from pydra_testbed.api._store import pack
from pydra_testbed.api._strategies import strategy_of
from pydra_testbed.objects import ApiStatusError, KubeObject

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_RANDOM_LENGTH = 5
_NAME_MAX = 63
_ATTEMPTS = 8
_SERVER_MADE = (
    "selfLink", "resourceVersion", "uid", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip


def create(
    core: Core, target: Target, body: Any, options: Options, owners: Ownership | None = None
) -> Written:
    """Store a new object; its fields are the writer's unless `owners` tell otherwise.

    Raises:
        ApiStatusError: 400, 403 (namespace terminating), 404 (no such namespace), 409, 422.
    """
    obj, warnings = take_in(core, target, body, options)
    with carrying(warnings):
        return _store(core, target, obj, options, warnings, owners)


def _store(
    core: Core,
    target: Target,
    obj: KubeObject,
    options: Options,
    warnings: tuple[str, ...],
    owners: Ownership | None,
) -> Written:
    admit_namespace(core, target)
    if obj["metadata"].get("resourceVersion"):
        message = "resourceVersion should not be set on objects to be created"
        raise ApiStatusError(500, "", message)
    complete(core, target.kind, obj)
    if owners is None:
        own_created(core, target, obj, options)
    else:
        record(obj, owners)
    write = Write("CREATE", target, obj, None, options.writer, options.dry_run)
    warnings += (*strategy_of(target.kind).warn(obj), *admit(core, write))
    bucket = core.bucket(target.kind)
    key = (target.namespace, obj["metadata"]["name"])
    if key in bucket.objects:
        raise already_exists(target.kind, key[1])
    if options.dry_run:
        return Written(pack(obj, 0, bucket.selectable), warnings, created=True)
    return Written(core.store.put(bucket, obj), warnings, created=True)


def complete(core: Core, kind: Kind, obj: KubeObject) -> None:
    """Fill in and judge a new object, in place; afterwards it is in stored form."""
    strategy = strategy_of(kind)
    meta = obj["metadata"]
    for name in _SERVER_MADE:
        meta.pop(name, None)
    _generate_name(core, kind, meta)
    if kind.has_status and not kind.status_on_create:
        obj["status"] = dict(strategy.initial_status)
        if kind.definition is not None:
            del obj["status"]
    context = core.context(meta.get("namespace", ""), version=kind.version)
    drop_disabled(obj, None, context.gates, strategy.gated)
    strategy.default(obj, context)
    causes = strategy.create(obj, context)
    if causes:
        raise invalid(kind, meta.get("name", ""), causes)
    written = emit(obj, strategy.shape)
    written["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": context.now}
    if kind.has_generation:
        written["metadata"]["generation"] = 1
    obj.clear()
    obj.update(written)


def _generate_name(core: Core, kind: Kind, meta: KubeObject) -> None:
    """A prefix becomes a name with five random letters, within 63 characters in all."""
    prefix = meta.get("generateName", "")
    if meta.get("name") or not prefix:
        return
    taken = core.bucket(kind).objects
    for _ in range(_ATTEMPTS):
        letters = "".join(random.choices(_ALPHABET, k=_RANDOM_LENGTH))  # noqa: S311 -- no secret
        meta["name"] = prefix[: _NAME_MAX - _RANDOM_LENGTH] + letters
        if (meta.get("namespace", ""), meta["name"]) not in taken:
            return


def admit_namespace(core: Core, target: Target) -> None:
    """Objects live in namespaces that exist and are not on their way out."""
    if not target.kind.namespaced:
        return
    namespace = core.namespace(target.namespace)
    if namespace is None:
        kind = core.catalog.named("namespaces")
        if kind is None:
            return
        raise not_found(kind, target.namespace)
    if namespace.fields.get("status.phase") == "Terminating":
        why = (
            f"unable to create new content in namespace {target.namespace} "
            "because it is being terminated"
        )
        raise forbidden(target.kind, target.name, why)
