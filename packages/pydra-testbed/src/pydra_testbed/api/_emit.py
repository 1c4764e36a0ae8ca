"""Writing an object out by its field table: empty optional fields vanish, mandatory ones appear.

The counterpart of Go's JSON tags; called on every object before it is stored, so that what a client reads
back has the same form as from Kubernetes.
"""

from __future__ import annotations

from typing import Any

from pydra_testbed.api._decode import zero
from pydra_testbed.api._shapes.types import Field, ListOf, MapOf, Scalar, Shape, Special, Struct
from pydra_testbed.objects import KubeObject


def emit(obj: KubeObject, shape: Struct) -> KubeObject:
    """The stored form of a decoded object; does not change `obj`."""
    result: KubeObject = {}
    for name, value in obj.items():
        entry = shape.fields.get(name)
        if entry is None:
            result[name] = value
            continue
        written = _value(value, entry.shape)
        if written is None and entry.shape is not Special.RAW:
            continue
        if entry.pointer or entry.always or not _empty(written):
            result[name] = _null_when_empty(written, entry)
    for name, entry in shape.fields.items():
        if entry.always and name not in result:
            result[name] = _absent(entry.shape)
    return result


def _value(value: Any, shape: Shape) -> Any:
    if value is None or isinstance(shape, Scalar | Special):
        return value
    if isinstance(shape, Struct):
        return emit(value, shape)
    if isinstance(shape, ListOf):
        return [_value(item, shape.item) for item in value]
    if isinstance(shape, MapOf):
        return {key: _value(item, shape.item) for key, item in value.items()}
    return value


def _empty(value: Any) -> bool:
    return not value


def _null_when_empty(value: Any, entry: Field) -> Any:
    """An empty list that is always written comes back as null: the stored form has no empty lists."""
    return None if isinstance(entry.shape, ListOf | MapOf) and not value else value


def _absent(shape: Shape) -> Any:
    return emit({}, shape) if isinstance(shape, Struct) else zero(shape)
