"""The `scale` subresource (autoscaling/v1): how many replicas are wanted and there, whatever the kind calls them."""

from __future__ import annotations

from typing import Any

from pydra_testbed.api._core import Core, Options, Target
from pydra_testbed.api._custom.version import ScalePaths
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._patches import MERGE, merge
from pydra_testbed.api._problems import bad_request, needs_version, unsupported_patch
from pydra_testbed.api._store import Stored
from pydra_testbed.api._updates import replaced
from pydra_testbed.objects import KubeObject, Patch

_BUILT_IN = ScalePaths(".spec.replicas", ".status.replicas", ".spec.selector.matchLabels")


def scale_of(kind: Kind, stored: Stored) -> KubeObject:
    """The Scale of an object."""
    obj, paths = stored.decode(), _paths(kind)
    meta = obj["metadata"]
    status: KubeObject = {"replicas": _at(obj, paths.status_replicas) or 0}
    selector = _at(obj, paths.selector)
    if isinstance(selector, dict):
        status["selector"] = ",".join(f"{key}={value}" for key, value in selector.items())
    elif selector:
        status["selector"] = str(selector)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            name: meta[name]
            for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
            if name in meta
        },
        "spec": {"replicas": _at(obj, paths.replicas) or 0},
        "status": status,
    }


def rescale(core: Core, target: Target, body: Any, options: Options) -> KubeObject:
    """Write the replicas a Scale wants; returns the Scale after that.

    Raises:
        ApiStatusError: 400 no replicas, 404, 409 another resourceVersion, 422 what the kind's rules refuse.
    """
    spec = body.get("spec") if isinstance(body, dict) else None
    wanted = (spec or {}).get("replicas", 0) if isinstance(spec, dict | None) else None
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
        raise bad_request(
            f"Scale {target.name}: spec.replicas must be a number from 0, not {wanted!r}"
        )
    obj = core.find(target).decode()
    version = (body.get("metadata") or {}).get("resourceVersion", "")
    if version and not version.isdecimal():
        raise needs_version(target.kind, target.name)
    obj["metadata"]["resourceVersion"] = version or obj["metadata"]["resourceVersion"]
    _put(obj, _paths(target.kind).replicas, wanted)
    return scale_of(target.kind, replaced(core, target, obj, options).stored)


def patch_scale(core: Core, target: Target, document: Patch, options: Options) -> KubeObject:
    """Apply a merge patch to the Scale.

    Raises:
        ApiStatusError: as `rescale`, and 415 for any other format.
    """
    if document.content_type != MERGE:
        raise unsupported_patch((MERGE,))
    known = scale_of(target.kind, core.find(target))
    return rescale(core, target, merge(known, document.body), options)


def _paths(kind: Kind) -> ScalePaths:
    return (kind.definition.scale if kind.definition else None) or _BUILT_IN


def _at(obj: Any, path: str) -> Any:
    for step in path.removeprefix(".").split(".") if path else ():
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj if path else None


def _put(obj: KubeObject, path: str, value: Any) -> None:
    *steps, last = path.removeprefix(".").split(".")
    for step in steps:
        obj = obj.setdefault(step, {})
    obj[last] = value
