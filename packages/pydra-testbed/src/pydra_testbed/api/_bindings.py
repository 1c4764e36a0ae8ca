"""The pod `binding` subresource: the one way a pod gets its node."""

from __future__ import annotations

from typing import Any

from pydra_testbed.api._core import Core, Options, Target
from pydra_testbed.api._problems import bad_request, conflict
from pydra_testbed.api._store import Stored
from pydra_testbed.objects import KubeObject


def bind(core: Core, target: Target, body: Any, options: Options) -> Stored:
    """Put a pod on the node its binding names.

    Raises:
        ApiStatusError: 400 (no node named), 404, 409 (bound already, being deleted, still gated).
    """
    node = body.get("target") if isinstance(body, dict) else None
    name = node.get("name") if isinstance(node, dict) else None
    if not name:
        raise bad_request(f'binding of pod "{target.name}": target.name must name a node')
    current = core.find(target)
    pod = current.decode()
    why = _obstacle(pod, body)
    if why:
        raise conflict(target.kind, target.name, why)
    pod["spec"]["nodeName"] = name
    _scheduled(pod.setdefault("status", {}), core.now())
    pod["metadata"]["generation"] += 1
    if options.dry_run:
        return current
    return core.store.put(core.bucket(target.kind), pod)


def _obstacle(pod: KubeObject, body: KubeObject) -> str:
    meta, spec = pod["metadata"], pod["spec"]
    uid = (body.get("metadata") or {}).get("uid")
    if uid and uid != meta["uid"]:
        return f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta['uid']}"
    if meta.get("deletionTimestamp"):
        return f"pod {meta['name']} is being deleted, cannot be assigned to a host"
    if spec.get("nodeName"):
        return f'pod {meta["name"]} is already assigned to node "{spec["nodeName"]}"'
    if spec.get("schedulingGates"):
        return f"pod {meta['name']} has non-empty .spec.schedulingGates"
    return ""


def _scheduled(status: KubeObject, now: str) -> None:
    conditions = [
        entry for entry in status.get("conditions") or () if entry.get("type") != "PodScheduled"
    ]
    conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": now})
    status["conditions"] = conditions
    status.pop("nominatedNodeName", None)
