"""JSON schemas of built-in kinds from their field tables, and of custom resources from their definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from pydra_testbed.api._shapes.meta import OBJECT_META, OWNER_REFERENCE
from pydra_testbed.api._shapes.types import ListOf, MapOf, Scalar, Shape, Special, Struct
from pydra_testbed.objects import KubeObject

Schema: TypeAlias = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_SCALARS: Mapping[Scalar | Special, Schema] = {
    Scalar.STRING: {"type": "string"},
    Scalar.BOOL: {"type": "boolean"},
    Scalar.INT32: {"type": "integer", "format": "int32"},
    Scalar.INT64: {"type": "integer", "format": "int64"},
    Special.QUANTITY: {"type": "string", "x-kubernetes-int-or-string": True},
    Special.TIME: {"type": "string", "format": "date-time"},
    Special.MICRO_TIME: {"type": "string", "format": "date-time"},
    Special.RAW: {"type": "object", _PRESERVE: True},
    Special.ANY: {"type": "object", _PRESERVE: True},
}


class Schemas:
    """The named schemas of one document, collected while kinds are added."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.found: dict[str, Schema] = {}

    def add(self, name: str, shape: Struct, identity: KubeObject) -> None:
        """A whole kind, with the group, version and kind by which clients find it."""
        key = self._named(shape, name)
        self.found[key] = self.found[key] | {"x-kubernetes-group-version-kind": [identity]}

    def add_custom(self, name: str, schema: Mapping[str, Any], identity: KubeObject) -> None:
        """A custom resource: its own schema, with the metadata that all kinds have."""
        own = dict(schema)
        meta = {"$ref": f"#/components/schemas/{self._named(OBJECT_META)}"}
        text = {"type": "string"}
        known = {"apiVersion": text, "kind": text, "metadata": {"allOf": [meta]}}
        own["properties"] = {**(own.get("properties") or {}), **known}
        own["x-kubernetes-group-version-kind"] = [identity]
        self.found[f"{self._prefix}.{name}"] = own

    def _named(self, shape: Struct, name: str = "") -> str:
        shared = any(shape is known for known in (OBJECT_META, OWNER_REFERENCE))
        key = f"{_META if shared else self._prefix}.{name or shape.go}"
        if key not in self.found:
            self.found[key] = {}
            self.found[key] = self._struct(shape)
        return key

    def _struct(self, shape: Struct) -> Schema:
        schema: Schema = {
            "type": "object",
            "properties": {name: self._of(entry.shape) for name, entry in shape.fields.items()},
        }
        return schema | ({_PRESERVE: True} if shape.open else {})

    def _of(self, shape: Shape) -> Schema:
        if isinstance(shape, Struct):
            return {"allOf": [{"$ref": f"#/components/schemas/{self._named(shape)}"}]}
        if isinstance(shape, MapOf):
            return {"type": "object", "additionalProperties": self._of(shape.item)}
        if isinstance(shape, ListOf):
            return {"type": "array", "items": self._of(shape.item)} | _list_kind(shape)
        return dict(_SCALARS[shape])


def _list_kind(shape: ListOf) -> Schema:
    if not shape.keys:
        return {"x-kubernetes-list-type": "atomic"}
    return {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": list(shape.keys),
    }
