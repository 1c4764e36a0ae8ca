"""A value as Kubernetes' error texts show it: the JSON of Go's internal type, every field in order, nil as null.

Internal types have no JSON names, so that Go's own field names show. Object metadata is the exception: it has
them and leaves out what is empty.
"""

from __future__ import annotations

from typing import Any

from pydra_testbed.api._emit import emit
from pydra_testbed.api._shapes.types import Field, ListOf, MapOf, Scalar, Shape, Special, Struct
from pydra_testbed.objects import KubeObject

_NAMES = {"cel": "CEL", "uid": "UID", "ips": "IPs", "apiGroup": "APIGroup"}
_ATTRIBUTE = "DeviceAttribute"
_METADATA = "metadata"


def internal(value: Any, shape: Shape) -> Any:
    """The value under Go's names; `value` is decoded or stored, `shape` its table."""
    if isinstance(shape, Struct):
        return _struct(value or {}, shape)
    if value is None:
        return None
    if isinstance(shape, ListOf):
        return [internal(item, shape.item) for item in value]
    if isinstance(shape, MapOf):
        return {key: internal(value[key], shape.item) for key in sorted(value)}
    return value


def tagged(value: KubeObject, shape: Struct) -> KubeObject:
    """A value of a type with JSON names, in the order of its fields."""
    written = emit(value, shape)
    return {name: written[name] for name in shape.fields if name in written}


def _struct(value: KubeObject, shape: Struct) -> KubeObject:
    result: KubeObject = {}
    for name, entry in shape.fields.items():
        if name == _METADATA and isinstance(entry.shape, Struct):
            result |= tagged(value.get(name) or {}, entry.shape)
        else:
            result[_go_name(name, shape)] = _field(value.get(name), entry)
    return result


def _field(value: Any, entry: Field) -> Any:
    if value is None and (entry.pointer or isinstance(entry.shape, Special)):
        return "0" if entry.shape is Special.QUANTITY and not entry.pointer else None
    if value is None and isinstance(entry.shape, Scalar):
        return {Scalar.STRING: "", Scalar.BOOL: False}.get(entry.shape, 0)
    return internal(value, entry.shape)


def _go_name(name: str, shape: Struct) -> str:
    if shape.go == _ATTRIBUTE:
        plural = name.endswith("s")
        return f"{name.removesuffix('s').capitalize()}Value{'s' if plural else ''}"
    return _NAMES.get(name, name[:1].upper() + name[1:])
