"""One stored object under several group versions: field names are exchanged on the way in and out.

Core `Event` and events.k8s.io `Event` are the same objects in Kubernetes; the table of names is the kind's.
The versions of resource.k8s.io are converted by `_versions`.
"""

from __future__ import annotations

import msgspec

from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._store import Stored
from pydra_testbed.api._versions import from_stored, to_stored
from pydra_testbed.objects import KubeObject


def inward(kind: Kind, obj: KubeObject) -> KubeObject:
    """A client's object in the form that is stored."""
    if not kind.renames:
        return to_stored(kind, obj)
    return _renamed(obj, dict(kind.renames), kind.stored_api_version)


def outward(kind: Kind, obj: KubeObject) -> KubeObject:
    """A stored object in the form that `kind` serves."""
    if not kind.renames:
        return from_stored(kind, obj)
    names = {theirs: ours for ours, theirs in kind.renames}
    return _renamed(obj, names, kind.api_version)


def body_of(kind: Kind, stored: Stored) -> bytes:
    """The encoded object as `kind` serves it; the stored bytes themselves where nothing differs."""
    if not kind.renames and not kind.stored_version:
        return stored.body
    return msgspec.json.encode(outward(kind, stored.decode()))


def _renamed(obj: KubeObject, names: dict[str, str], api_version: str) -> KubeObject:
    result = {names.get(key, key): value for key, value in obj.items()}
    result["apiVersion"] = api_version
    return result
