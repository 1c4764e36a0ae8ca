"""How older Kubernetes differ in what a driver sees of slices; `front` plays them before today's server.

Until 1.33 resource.k8s.io had v1beta1 and v1beta2 alone. In 1.33 and 1.34 a device consumed counters of sets that
its own slice held, of 32 counters at most; since 1.35 sets have slices of their own. What today's server would not
take is kept in an annotation of the object behind, and nobody sees it there.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import msgspec

from pydra_testbed.objects import KubeObject

_GROUP = "/apis/resource.k8s.io"
_KEPT = "conformance.example/counters"
_COUNTERS = 32


class Release(enum.Enum):
    """Which Kubernetes a driver finds: today's, 1.34 with all its gates on, or one before resource.k8s.io/v1."""

    NEW = enum.auto()
    V1_34 = enum.auto()
    BETA = enum.auto()


_MINOR = {Release.V1_34: "34", Release.BETA: "32"}


def document(release: Release, path: str) -> KubeObject | None:
    """What discovery says otherwise."""
    path = path.rstrip("/")
    if path == "/version" and release in _MINOR:
        minor = _MINOR[release]
        return {"major": "1", "minor": minor, "gitVersion": f"v1.{minor}.0"}
    if path == _GROUP and release is Release.BETA:
        beta = {"groupVersion": "resource.k8s.io/v1beta1", "version": "v1beta1"}
        group = {"kind": "APIGroup", "apiVersion": "v1", "name": "resource.k8s.io"}
        return group | {"versions": [beta], "preferredVersion": beta}
    return None


def is_hidden(release: Release, path: str) -> bool:
    """Whether there is no such path yet."""
    newer = (f"{_GROUP}/v1", f"{_GROUP}/v1beta2")
    return release is Release.BETA and any(f"{path}/".startswith(f"{each}/") for each in newer)


def fault_of(release: Release, body: KubeObject) -> str:
    """Why 1.34 refuses a slice that today's server would take; empty if it does not."""
    if release is not Release.V1_34:
        return ""
    spec = body.get("spec") or {}
    sets = {entry["name"]: entry["counters"] for entry in spec.get("sharedCounters") or []}
    if (count := sum(map(len, sets.values()))) > _COUNTERS:
        return f"spec.sharedCounters: Invalid value: {count}: at most {_COUNTERS} counters in all"
    for index, name in _consumed(spec):
        if name not in sets:
            where = f"spec.devices[{index}].consumesCounters"
            return f'{where}: Invalid value: "{name}": must be a counter set of the same slice'
    return ""


def _consumed(spec: KubeObject) -> Iterator[tuple[int, str]]:
    for index, device in enumerate(spec.get("devices") or []):
        for entry in device.get("consumesCounters") or []:
            yield index, entry["counterSet"]


def invalid(why: str) -> KubeObject:
    """The answer to a slice that is refused."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid"}
    return status | {"code": 422, "message": f"ResourceSlice is invalid: {why}"}


def to_store(body: KubeObject) -> KubeObject:
    """A slice as today's server takes it: without counters beside devices."""
    spec = body.get("spec") or {}
    if not spec.get("devices") or not spec.get("sharedCounters"):
        return body
    metadata = body.get("metadata") or {}
    kept = msgspec.json.encode(spec["sharedCounters"]).decode()
    noted = {**(metadata.get("annotations") or {}), _KEPT: kept}
    rest = {key: value for key, value in spec.items() if key != "sharedCounters"}
    return body | {"metadata": metadata | {"annotations": noted}, "spec": rest}


def read_back(told: bytes) -> bytes:
    """A slice, a list of them or an event of a watch, as 1.34 would say it; anything else as it is."""
    if _KEPT.encode() not in told:
        return told
    found = msgspec.json.decode(told)
    for body in (found, found.get("object"), *(found.get("items") or [])):
        if isinstance(body, dict):
            restore(body)
    return msgspec.json.encode(found) + (b"\n" if told.endswith(b"\n") else b"")


def restore(body: KubeObject) -> None:
    """Make of a slice as it is stored what 1.34 would show."""
    metadata = body.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    if kept := annotations.pop(_KEPT, None):
        body["spec"]["sharedCounters"] = msgspec.json.decode(kept)
        if not annotations:
            del metadata["annotations"]
