"""One field of a recorded request changed, and the verdict that Kubernetes' rules demand then.

What was accepted gets one fault, whose cause is known; everything else gets another name, which texts repeat.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

from pydra_testbed.fidelity.api_requests import place_of
from pydra_testbed.fidelity.model import Record
from pydra_testbed.objects import KubeObject

_SUFFIX = "-renamed"
_LONGEST = 50
_MOST = 31
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_ADVICE = re.compile(r"spec[.\w]*: ")
"""Warnings about an object that was fine otherwise."""
_HEADS = (" is invalid: ", " is forbidden: ")


def changed(record: Record) -> Record | None:
    """The record with one field changed, None when no rule says what that does."""
    if record.get("quirk"):
        return None
    return _faulty(record) or _renamed(record)


def _faulty(record: Record) -> Record | None:
    """An accepted creation with one fault in its spec."""
    body = record.get("object")
    if record["verb"] != "create" or not record["accepted"] or not isinstance(body, dict):
        return None
    name = (body.get("metadata") or {}).get("name")
    place = place_of(record)
    if not name or record.get("served") or place.kind not in _FAULTS:
        return None
    broken = copy.deepcopy(body)
    found = _FAULTS[place.kind](broken)
    if found is None:
        return None
    field, reason, message = found
    group = "" if place.kind == "Pod" else ".resource.k8s.io"
    return {
        **record,
        "object": broken,
        "accepted": False,
        "http_status": 422,
        "reason": "Invalid",
        "message": f'{place.kind}{group} "{name}" is invalid: {field}: {message}',
        "causes": [{"field": field, "message": message, "type": reason}],
        "stored": None,
        "warnings": [w for w in record.get("warnings") or () if not _ADVICE.match(w)],
    }


_Fault = tuple[str, str, str]
"""Field, reason and message of the one cause."""


def _slice(body: KubeObject) -> _Fault:
    body["spec"]["pool"]["generation"] = -7
    message = "Invalid value: -7: must be greater than or equal to zero"
    return "spec.pool.generation", "FieldValueInvalid", message


def _claim(body: KubeObject) -> _Fault | None:
    return _constraint(body, "spec")


def _template(body: KubeObject) -> _Fault | None:
    body["spec"] = body.get("spec") or {}
    return _constraint(body["spec"], "spec.spec")


def _constraint(holder: KubeObject, field: str) -> _Fault | None:
    """A constraint on a request that the claim does not have."""
    holder["spec"] = holder.get("spec") or {}
    holder["spec"]["devices"] = devices = holder["spec"].get("devices") or {}
    entry = {"requests": ["nobody"], "matchAttribute": "shop.example.com/oven"}
    index = _appended(devices, "constraints", entry)
    message = (
        'Invalid value: "nobody": must be the name of a request in the claim or the name of a '
        "request and a subrequest separated by '/'"
    )
    path = f"{field}.devices.constraints[{index}].requests[0]"
    return None if index is None else (path, "FieldValueInvalid", message)


def _class(body: KubeObject) -> _Fault | None:
    body["spec"] = spec = body.get("spec") or {}
    index = _appended(spec, "config", {"opaque": {"driver": "oven.example.com"}})
    path = f"spec.config[{index}].opaque.parameters"
    return None if index is None else (path, "FieldValueRequired", "Required value")


def _pod(body: KubeObject) -> _Fault | None:
    index = _appended(body["spec"], "resourceClaims", {"resourceClaimName": "nobody"})
    path = f"spec.resourceClaims[{index}].name"
    return None if index is None else (path, "FieldValueRequired", "Required value")


def _rule(body: KubeObject) -> _Fault:
    body["spec"]["taint"]["effect"] = "Sometimes"
    message = 'Unsupported value: "Sometimes": supported values: "NoExecute", "NoSchedule", "None"'
    return "spec.taint.effect", "FieldValueNotSupported", message


def _appended(holder: KubeObject, name: str, entry: KubeObject) -> int | None:
    """The index of an entry put at the end of a list; None when that is full."""
    items = list(holder.get(name) or ())
    holder[name] = [*items, entry]
    return len(items) if len(items) <= _MOST else None


_FAULTS: dict[str, Callable[[KubeObject], _Fault | None]] = {
    "ResourceSlice": _slice,
    "ResourceClaim": _claim,
    "ResourceClaimTemplate": _template,
    "DeviceClass": _class,
    "DeviceTaintRule": _rule,
    "Pod": _pod,
}


def _renamed(record: Record) -> Record | None:
    """The same request on an object of another name."""
    place = place_of(record)
    body = record.get("object")
    meta = body.get("metadata") if isinstance(body, dict) else None
    name = place.name
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        return None
    if any(cause["field"].startswith("metadata.name") for cause in record["causes"]):
        return None
    if isinstance(meta, dict) and meta.get("name", name) != name:
        return None
    result = dict(record)
    for key in ("object", "old_object", "stored"):
        result[key] = _with_name(record.get(key), name)
    if record.get("served"):
        result["served"] = {v: _with_name(obj, name) for v, obj in record["served"].items()}
    result["message"] = _reworded(record["message"], name)
    return result


def _with_name(obj: Any, name: str) -> Any:
    """A copy under the new name, when it has the old one."""
    meta = obj.get("metadata") if isinstance(obj, dict) else None
    if not isinstance(meta, dict) or meta.get("name") != name:
        return obj
    return {**obj, "metadata": {**meta, "name": f"{name}{_SUFFIX}"}}


def _reworded(message: str | None, name: str) -> str | None:
    """A text that names the object: in quotes or parentheses, or at the end of a key."""
    if message is None:
        return None
    ends = [message.index(mark) for mark in _HEADS if mark in message]
    head = min(ends, default=len(message))
    pattern = re.compile(rf'(?<=["(/]){re.escape(name)}(?=[");, ])')
    return pattern.sub(f"{name}{_SUFFIX}", message[:head]) + message[head:]
