"""One stored object under several group versions: field names are exchanged on the way in and out.

Core `Event` and events.k8s.io `Event` are the same objects in Kubernetes; the table of names is the kind's.
"""

from __future__ import annotations

import msgspec

from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._store import Stored
from pydra_testbed.objects import KubeObject

_STORED_AS = "v1"


def inward(kind: Kind, obj: KubeObject) -> KubeObject:
    """A client's object in the form that is stored."""
    if not kind.renames:
        return obj
    return _renamed(obj, dict(kind.renames), _STORED_AS)


def outward(kind: Kind, obj: KubeObject) -> KubeObject:
    """A stored object in the form that `kind` serves."""
    if not kind.renames:
        return obj
    names = {theirs: ours for ours, theirs in kind.renames}
    return _renamed(obj, names, kind.api_version)


def body_of(kind: Kind, stored: Stored) -> bytes:
    """The encoded object as `kind` serves it; the stored bytes themselves where nothing differs."""
    if not kind.renames:
        return stored.body
    return msgspec.json.encode(outward(kind, stored.decode()))


def _renamed(obj: KubeObject, names: dict[str, str], api_version: str) -> KubeObject:
    result = {names.get(key, key): value for key, value in obj.items()}
    result["apiVersion"] = api_version
    return result
