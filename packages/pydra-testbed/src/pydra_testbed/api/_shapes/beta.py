"""Field tables of resource.k8s.io/v1beta1 where they differ from v1: wrapped devices, flat requests."""

from __future__ import annotations

from dataclasses import replace

from pydra_testbed.api._shapes import claims, devices
from pydra_testbed.api._shapes.types import Field, ListOf, Shape, Struct, pointer


def _with(shape: Struct, **fields: Shape | Field) -> Struct:
    """A struct with some fields of another shape, each as mandatory as it was."""
    changed = {
        name: entry if isinstance(entry, Field) else replace(shape.fields[name], shape=entry)
        for name, entry in fields.items()
    }
    return replace(shape, fields={**shape.fields, **changed})


def _struct(holder: Struct, name: str) -> Struct:
    """A nested struct, or that of a list's entries."""
    shape = holder.fields[name].shape
    found = shape.item if isinstance(shape, ListOf) else shape
    if not isinstance(found, Struct):
        raise TypeError(f"{holder.go}.{name} holds no struct")
    return found


_NAME = devices.DEVICE.fields["name"]
_BASIC = Struct(
    "BasicDevice", {key: entry for key, entry in devices.DEVICE.fields.items() if key != "name"}
)
_DEVICE = Struct("Device", {"name": _NAME, "basic": pointer(_BASIC)})

_REQUEST = _struct(_struct(claims.CLAIM_SPEC, "devices"), "requests")
_FLAT_REQUEST = Struct(
    "DeviceRequest",
    {
        "name": _REQUEST.fields["name"],
        **_struct(_REQUEST, "exactly").fields,
        "firstAvailable": _REQUEST.fields["firstAvailable"],
    },
)
_CLAIM_SPEC = _with(
    claims.CLAIM_SPEC,
    devices=_with(_struct(claims.CLAIM_SPEC, "devices"), requests=ListOf(_FLAT_REQUEST)),
)

RESOURCE_SLICE = _with(
    devices.RESOURCE_SLICE,
    spec=_with(_struct(devices.RESOURCE_SLICE, "spec"), devices=ListOf(_DEVICE)),
)
RESOURCE_CLAIM = _with(claims.RESOURCE_CLAIM, spec=_CLAIM_SPEC)
RESOURCE_CLAIM_TEMPLATE = _with(
    claims.RESOURCE_CLAIM_TEMPLATE,
    spec=_with(_struct(claims.RESOURCE_CLAIM_TEMPLATE, "spec"), spec=_CLAIM_SPEC),
)
