"""`metadata.managedFields` kept right on every write: who created or changed which field.

Called by `_creates` and `_updates` on objects in stored form. Kubernetes tracks in the version of the request;
here it is the stored version's, which is the same for all kinds that are served in one version.
"""

from __future__ import annotations

from typing import Any

from pydra_testbed.api._apply.builtin import merge_type
from pydra_testbed.api._apply.managers import (
    UPDATE,
    Manager,
    Ownership,
    Writing,
    decoded,
    encoded,
    updated,
)
from pydra_testbed.api._apply.types import MergeType
from pydra_testbed.api._core import Core, Options, Target
from pydra_testbed.api._custom.merging import merge_type_of
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._shapes.meta import OBJECT_META
from pydra_testbed.api._shapes.types import struct
from pydra_testbed.api._strategies import strategy_of
from pydra_testbed.api._versions import own_shape
from pydra_testbed.objects import KubeObject

_KNOWN: dict[tuple[str, str, str], MergeType] = {}
"""Merge types made so far; a kind's never changes."""


_METADATA = merge_type("", struct("", {"metadata": OBJECT_META})).fields["metadata"]


def type_of(kind: Kind) -> MergeType:
    """How objects of a kind merge, in stored form."""
    if kind.definition is not None:
        return merge_type_of(kind.definition.schema, _METADATA)
    key = (kind.group, kind.stored_api_version, kind.kind)
    if key not in _KNOWN:
        _KNOWN[key] = merge_type(kind.kind, strategy_of(kind).shape)
    return _KNOWN[key]


def request_type(kind: Kind) -> MergeType:
    """How objects of a kind merge in the form that this version serves."""
    shape = own_shape(kind)
    return merge_type(kind.kind, shape) if shape else type_of(kind)


def writing(target: Target, options: Options, operation: str, now: str) -> Writing:
    """One write of a request, with what its path cannot change."""
    kind = target.kind
    manager = Manager(options.manager, operation, kind.stored_api_version, target.subresource)
    if target.subresource == "status":
        return Writing(manager, now, only="status")
    return Writing(manager, now, ignored="status" if kind.has_status else "")


def own_created(core: Core, target: Target, obj: KubeObject, options: Options) -> None:
    """A new object is its creator's, in place."""
    empty: KubeObject = {"metadata": {}}
    told = writing(target, options, UPDATE, core.now())
    record(obj, updated({}, empty, obj, type_of(target.kind), told))


def own_changed(
    core: Core,
    target: Target,
    objects: tuple[KubeObject, KubeObject],
    claimed: Any,
    options: Options,
) -> None:
    """What changed from the first to the second object is the writer's now, in place.

    `claimed` is the `managedFields` that came with the write: a client may change who owns what, and a
    list with one empty entry forgets it.
    """
    old, new = objects
    owners = _told(old, claimed, target)
    if owners:
        told = writing(target, options, UPDATE, core.now())
        owners = updated(owners, old, new, type_of(target.kind), told)
    record(new, owners)


def _told(old: KubeObject, claimed: Any, target: Target) -> Ownership:
    if not target.subresource and claimed == [{}]:
        return {}
    theirs = decoded(claimed or ()) if not target.subresource else {}
    return theirs or decoded(old["metadata"].get("managedFields") or ())


def record(obj: KubeObject, owners: Ownership) -> None:
    """Write down who owns what, in place."""
    obj["metadata"].pop("managedFields", None)
    if owners:
        obj["metadata"]["managedFields"] = encoded(owners)
