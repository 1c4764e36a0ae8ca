"""Objects of resource.k8s.io under its older versions: the same objects in another form.

v1beta2 differs from v1 in nothing but its name. v1beta1 puts what a device has into `basic`, and what an exact
request asks for into the request itself. Bodies are converted when they come in (after decoding) and when they
go out; what is stored is v1, for DeviceTaintRule v1beta2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._shapes.beta import RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE, RESOURCE_SLICE
from pydra_testbed.api._shapes.types import Struct
from pydra_testbed.objects import KubeObject

_FLAT = "v1beta1"
_SHAPES: Mapping[str, Struct] = MappingProxyType(
    {
        "ResourceSlice": RESOURCE_SLICE,
        "ResourceClaim": RESOURCE_CLAIM,
        "ResourceClaimTemplate": RESOURCE_CLAIM_TEMPLATE,
    }
)
_LIFE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"v1alpha3": ("v1.36", "v1.39"), "v1beta1": ("v1.35", "v1.38"), "v1beta2": ("v1.36", "v1.39")}
)


def own_shape(kind: Kind) -> Struct | None:
    """The field table of a version that looks different from the stored one."""
    return _SHAPES.get(kind.kind) if kind.stored_version and kind.version == _FLAT else None


def deprecation(kind: Kind) -> str:
    """The warning that goes with every answer of a version on its way out; empty for others."""
    if not kind.stored_version:
        return ""
    since, until = _LIFE[kind.version]
    return f"{kind.api_version} {kind.kind} is deprecated in {since}+, unavailable in {until}+"


def to_stored(kind: Kind, obj: KubeObject) -> KubeObject:
    """A decoded object of this version in the form that is stored."""
    return _converted(kind, obj, _INWARD, kind.stored_api_version)


def from_stored(kind: Kind, obj: KubeObject) -> KubeObject:
    """A stored object in the form of this version."""
    return _converted(kind, obj, _OUTWARD, kind.api_version)


def _converted(
    kind: Kind, obj: KubeObject, ways: Mapping[str, _Way], api_version: str
) -> KubeObject:
    if not kind.stored_version:
        return obj
    way = ways.get(kind.kind) if kind.version == _FLAT else None
    spec = obj.get("spec")
    result = obj if way is None or not spec else obj | {"spec": way(spec)}
    return result | {"apiVersion": api_version}


_Way = Callable[[KubeObject], KubeObject]


def _devices(change: _Way) -> _Way:
    """A slice's spec with each device changed."""

    def changed(spec: KubeObject) -> KubeObject:
        devices = spec.get("devices")
        return spec | {"devices": [change(entry) for entry in devices]} if devices else spec

    return changed


def _unwrapped(device: KubeObject) -> KubeObject:
    return {"name": device.get("name", "")} | (device.get("basic") or {})


def _wrapped(device: KubeObject) -> KubeObject:
    basic = {key: value for key, value in device.items() if key != "name"}
    return {"name": device["name"], "basic": basic}


def _requests(change: _Way) -> _Way:
    """A claim's spec with each request changed."""

    def changed(spec: KubeObject) -> KubeObject:
        devices = spec.get("devices") or {}
        requests = devices.get("requests")
        if not requests:
            return spec
        return spec | {"devices": devices | {"requests": [change(entry) for entry in requests]}}

    return changed


_OF_REQUEST = ("name", "firstAvailable")


def _nested(request: KubeObject) -> KubeObject:
    """A request without a single field of an exact one has none, an empty one included."""
    kept = {key: value for key, value in request.items() if key in _OF_REQUEST}
    wanted = {key: value for key, value in request.items() if key not in _OF_REQUEST}
    asks = any(value not in ("", 0) or value is False for value in wanted.values())
    return kept | {"exactly": wanted} if asks else kept


def _flattened(request: KubeObject) -> KubeObject:
    exactly = request.get("exactly") or {"deviceClassName": ""}
    return {key: value for key, value in request.items() if key != "exactly"} | exactly


def _templates(way: _Way) -> _Way:
    """A template's spec holds a claim's spec."""
    return lambda spec: spec | {"spec": way(spec["spec"])} if spec.get("spec") else spec


_INWARD: Mapping[str, _Way] = MappingProxyType(
    {
        "ResourceSlice": _devices(_unwrapped),
        "ResourceClaim": _requests(_nested),
        "ResourceClaimTemplate": _templates(_requests(_nested)),
    }
)
_OUTWARD: Mapping[str, _Way] = MappingProxyType(
    {
        "ResourceSlice": _devices(_wrapped),
        "ResourceClaim": _requests(_flattened),
        "ResourceClaimTemplate": _templates(_requests(_flattened)),
    }
)
