"""How custom resources merge under server-side apply, from their structural schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydra_testbed.api._apply.types import Leaf, ListType, MapType, MergeType, Open
from pydra_testbed.api._custom.pruning import EMBEDDED, PRESERVE

_SCALARS: Mapping[str, MergeType] = {
    "string": Leaf.STRING,
    "boolean": Leaf.BOOLEAN,
    "integer": Leaf.NUMERIC,
    "number": Leaf.NUMERIC,
}


def merge_type_of(schema: Mapping[str, Any], metadata: MergeType) -> MergeType:
    """The merge types of whole objects; `metadata` merges as everywhere."""
    found = _typed(schema, metadata)
    if not isinstance(found, MapType):
        return found
    shared: dict[str, MergeType] = {
        "apiVersion": Leaf.STRING,
        "kind": Leaf.STRING,
        "metadata": metadata,
    }
    return MapType(dict(found.fields) | shared, found.rest, found.atomic)


def _typed(schema: Mapping[str, Any], metadata: MergeType) -> MergeType:
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        return Leaf.ANY
    if kind == "object" and schema.get(EMBEDDED):
        return merge_type_of({**schema, EMBEDDED: False}, metadata)
    if kind == "object":
        return _map(schema, metadata)
    if kind == "array":
        return _list(schema, metadata)
    return _SCALARS.get(str(kind), Open.MAP)


def _map(schema: Mapping[str, Any], metadata: MergeType) -> MergeType:
    known = schema.get("properties") or {}
    rest = schema.get("additionalProperties")
    below: MergeType | None = _typed(rest, metadata) if isinstance(rest, dict) else None
    if rest is True or schema.get(PRESERVE):
        below = below or Open.MAP
    fields = {name: _typed(child, metadata) for name, child in known.items()}
    return MapType(fields, below, atomic=schema.get("x-kubernetes-map-type") == "atomic")


def _list(schema: Mapping[str, Any], metadata: MergeType) -> MergeType:
    items = schema.get("items") or {}
    item = _typed(items, metadata)
    how = schema.get("x-kubernetes-list-type")
    if how == "set":
        return ListType(item, unique=True)
    if how != "map":
        return ListType(item)
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    known = items.get("properties") or {}
    defaults = {key: known[key]["default"] for key in keys if "default" in known.get(key, {})}
    return ListType(item, keys, defaults=defaults)
