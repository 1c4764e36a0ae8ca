"""Fields that all kinds share: object metadata and conditions (meta.k8s.io/v1)."""

from __future__ import annotations

from pydra_testbed.api._shapes.types import (
    ANY,
    BOOL,
    INT64,
    STRING,
    STRING_MAP,
    STRINGS,
    TIME,
    Field,
    ListOf,
    Shape,
    Struct,
    always,
    pointer,
    struct,
)

OWNER_REFERENCE = struct(
    "OwnerReference",
    {
        "apiVersion": always(STRING),
        "kind": always(STRING),
        "name": always(STRING),
        "uid": always(STRING),
        "controller": pointer(BOOL),
        "blockOwnerDeletion": pointer(BOOL),
    },
)

OBJECT_META = struct(
    "ObjectMeta",
    {
        "name": STRING,
        "generateName": STRING,
        "namespace": STRING,
        "selfLink": STRING,
        "uid": STRING,
        "resourceVersion": STRING,
        "generation": INT64,
        "creationTimestamp": TIME,
        "deletionTimestamp": pointer(TIME),
        "deletionGracePeriodSeconds": pointer(INT64),
        "labels": STRING_MAP,
        "annotations": STRING_MAP,
        "ownerReferences": ListOf(OWNER_REFERENCE, keys=("uid",)),
        "finalizers": STRINGS,
        "managedFields": ListOf(ANY),
    },
)

CONDITION = struct(
    "Condition",
    {
        "type": always(STRING),
        "status": always(STRING),
        "observedGeneration": INT64,
        "lastTransitionTime": always(TIME),
        "reason": always(STRING),
        "message": always(STRING),
    },
)


def root(kind: str, fields: dict[str, Shape | Field], *, open_: bool = False) -> Struct:
    """A whole object: type, metadata and the kind's own fields."""
    shared: dict[str, Shape | Field] = {
        "kind": STRING,
        "apiVersion": STRING,
        "metadata": OBJECT_META,
    }
    return struct(kind, shared | fields, open_=open_)


ANY_OBJECT = root("Object", {}, open_=True)
