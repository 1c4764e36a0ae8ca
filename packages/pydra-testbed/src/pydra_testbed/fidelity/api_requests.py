"""What was sent to the API server for a recorded verdict: path, method, body, and what was there before."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from pydra_testbed.fidelity.model import Record
from pydra_testbed.objects import KubeObject

_GROUP = "resource.k8s.io"
_KINDS = {
    "ResourceSlice": (_GROUP, "resourceslices", False),
    "ResourceClaim": (_GROUP, "resourceclaims", True),
    "ResourceClaimTemplate": (_GROUP, "resourceclaimtemplates", True),
    "DeviceClass": (_GROUP, "deviceclasses", False),
    "DeviceTaintRule": (_GROUP, "devicetaintrules", False),
    "Pod": ("", "pods", True),
}
_AREA_KINDS = {
    "slice": "ResourceSlice",
    "claim": "ResourceClaim",
    "template": "ResourceClaimTemplate",
    "class": "DeviceClass",
    "taintrule": "DeviceTaintRule",
    "pod": "Pod",
}
_VERSIONS = ("v1", "v1beta2", "v1beta1", "v1alpha3")
_METHODS = {
    "create": ("POST", "application/json"),
    "update": ("PUT", "application/json"),
    "status-update": ("PUT", "application/json"),
    "apply": ("PATCH", "application/apply-patch+yaml"),
    "merge-patch": ("PATCH", "application/merge-patch+json"),
}
_REPEATED = re.compile(r"same as plain slice with (\w+) \{(\w+): (\w) repeated (\d+)\}")
_ELSEWHERE = re.compile(r"\(url: (\S+)\)")
_KEPT_METADATA = ("name", "namespace", "labels", "annotations", "ownerReferences", "finalizers")


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request; `path` with its query."""

    method: str
    path: str
    body: bytes
    media: str = "application/json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record's object lives: its collection under each version, its name."""

    kind: str
    version: str
    namespace: str
    name: str

    def collection(self, version: str = "") -> str:
        """The path of the collection, in the record's own version unless another is named."""
        group, plural, namespaced = _KINDS[self.kind]
        root = f"/apis/{group}/{version or self.version}" if group else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{plural}" if namespaced else f"{root}/{plural}"

    def item(self, version: str = "") -> str:
        """The path of the object."""
        return f"{self.collection(version)}/{self.name}"


def place_of(record: Record) -> Place:
    """The URL's side of a record: the recorded old object's name wins over the body's."""
    body, old = _mapping(record.get("object")), record.get("old_object") or {}
    kind = _kind(record["area"], body, old)
    version = str(body.get("apiVersion", "")).rpartition("/")[2]
    meta = _mapping(old.get("metadata")) or _mapping(body.get("metadata"))
    elsewhere = _ELSEWHERE.search(record["note"])
    namespace = elsewhere[1] if elsewhere else meta.get("namespace") or "default"
    known = version if version in _VERSIONS else _newest(kind)
    return Place(kind, known, namespace, str(meta.get("name", "")))


def _newest(kind: str) -> str:
    return "v1beta2" if kind == "DeviceTaintRule" else "v1"


def _kind(area: str, body: KubeObject, old: KubeObject) -> str:
    for obj in (old, body):
        if obj.get("kind") in _KINDS:
            return str(obj["kind"])
    return _AREA_KINDS.get(area.partition("-")[0], "ResourceSlice")


def _mapping(value: Any) -> KubeObject:
    return value if isinstance(value, dict) else {}


def call_of(record: Record, place: Place, body: Any) -> Call:
    """The recorded request; `body` is the recorded one, made to fit this server (resourceVersion, uid)."""
    method, media = _METHODS[record["verb"]]
    status = record["verb"] == "status-update" or record.get("subresource") == "status"
    path = place.collection() if method == "POST" else place.item()
    asked = record.get("query") or _manager(record)
    query = f"?{asked}" if asked else ""
    return Call(
        method, f"{path}{'/status' if status else ''}{query}", _encoded(record, body), media
    )


def _manager(record: Record) -> str:
    """Records with a caller do not tell the query; who applied had to name a manager."""
    return "fieldManager=recorder" if record.get("user") and record["verb"] == "apply" else ""


def _encoded(record: Record, body: Any) -> bytes:
    """The bytes: their size counts for opaque data, so that spacing is the recorder's."""
    if record.get("raw_body") is not None:
        return str(record["raw_body"]).encode()
    compact = (",", ":") if "compact" in str(record.get("note2", "")) else None
    return json.dumps(_unabridged(body), separators=compact).encode()


def _unabridged(body: Any) -> Any:
    """A body that the recording only describes, because it is large."""
    told = _REPEATED.fullmatch(body.get("$note", "")) if isinstance(body, dict) else None
    if told is None:
        return body
    field, key, letter, times = told.groups()
    pool = {"name": "node1", "generation": 1, "resourceSliceCount": 1}
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": "s1", field: {key: letter * int(times)}},
        "spec": {"driver": "gpu.example.com", "pool": pool, "nodeName": "node1", "devices": []},
    }


def before(record: Record, place: Place) -> tuple[Call, ...]:
    """The requests that bring the recorded old object about, through the server's front door."""
    old = record.get("old_object")
    if not old:
        return ()
    version = str(old.get("apiVersion", "v1")).rpartition("/")[2]
    meta = {key: old["metadata"][key] for key in _KEPT_METADATA if key in old["metadata"]}
    body = _completed(place.kind, {**old, "metadata": meta})
    calls = [Call("POST", place.collection(version), json.dumps(body).encode())]
    if old.get("status"):
        calls.append(Call("PUT", f"{place.item(version)}/status", json.dumps(body).encode()))
    if old["metadata"].get("deletionTimestamp"):
        calls.append(Call("DELETE", place.item(version), b""))
    return tuple(calls)


def fitted(record: Record, place: Place, stored: KubeObject) -> Any:
    """The recorded body, with this server's uid and resourceVersion where it names the recorded ones."""
    body, old = record.get("object"), record.get("old_object")
    if not old or not isinstance(body, dict) or not isinstance(body.get("metadata"), dict):
        return body
    meta = dict(body["metadata"])
    for name in ("uid", "resourceVersion"):
        if name in meta and meta[name] == old["metadata"].get(name):
            meta[name] = stored["metadata"][name]
    return _completed(place.kind, {**body, "metadata": meta}, whole=record["verb"] != "merge-patch")


def _completed(kind: str, body: KubeObject, *, whole: bool = True) -> KubeObject:
    """Recorded pods are reduced to claims and resources; a container needs an image."""
    if kind != "Pod" or not whole or not isinstance(body.get("spec"), dict):
        return body
    spec = dict(body["spec"])
    for group in ("containers", "initContainers"):
        if spec.get(group):
            spec[group] = [{"image": "example.com/image", **container} for container in spec[group]]
    return {**body, "spec": spec}
