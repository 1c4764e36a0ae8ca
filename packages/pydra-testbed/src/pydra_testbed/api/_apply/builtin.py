"""Merge types of built-in kinds, from their field tables and the rules in `lists`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from pydra_testbed.api._apply.lists import keys_in, merge_rules
from pydra_testbed.api._apply.types import Leaf, ListType, MapType, MergeType, Open
from pydra_testbed.api._shapes.types import ListOf, MapOf, Scalar, Shape, Special, Struct

_Tree: TypeAlias = "dict[str, _Tree | str]"
"""Rules by their steps; the key `` holds the rule of the place itself."""

_SCALARS: Mapping[Scalar | Special, MergeType] = {
    Scalar.STRING: Leaf.STRING,
    Scalar.BOOL: Leaf.BOOLEAN,
    Scalar.INT32: Leaf.NUMERIC,
    Scalar.INT64: Leaf.NUMERIC,
    Special.QUANTITY: Leaf.ANY,
    Special.TIME: Leaf.STRING,
    Special.MICRO_TIME: Leaf.STRING,
    Special.RAW: MapType(rest=Open.MAP, atomic=True),
    Special.ANY: Open.MAP,
}


def merge_type(kind: str, shape: Struct) -> MapType:
    """How objects of a kind merge."""
    return _struct(shape, _tree(kind))


def _tree(kind: str) -> _Tree:
    root: _Tree = {}
    for path, rule in merge_rules(kind).items():
        node = root
        for step in path.split("."):
            below = node.setdefault(step, {})
            node = below if isinstance(below, dict) else {}
        node[""] = rule
    return root


def _typed(shape: Shape | None, rules: _Tree) -> MergeType:
    if isinstance(shape, ListOf):
        return _list(shape, rules)
    if isinstance(shape, MapOf):
        return MapType(rest=_typed(shape.item, {}), atomic=rules.get("") == "atomic")
    if isinstance(shape, Struct):
        return _struct(shape, rules)
    if shape is not None:
        return _SCALARS[shape]
    return _unknown(rules)


def _struct(shape: Struct, rules: _Tree) -> MapType:
    names = dict.fromkeys((*shape.fields, *(name for name in rules if name)))
    fields = {
        name: _typed(
            shape.fields[name].shape if name in shape.fields else None, _below(rules, name)
        )
        for name in names
    }
    rest = Open.STRUCT if shape.open else None
    return MapType(fields, rest, atomic=rules.get("") == "atomic", rest_named=shape.open)


def _list(shape: ListOf, rules: _Tree) -> MergeType:
    item = _typed(shape.item, rules)
    rule = rules.get("", "")
    if rule == "set":
        return ListType(item, unique=True)
    if isinstance(rule, str) and rule:
        keys, defaults = keys_in(rule)
        return ListType(item, keys, defaults=defaults)
    return ListType(item, shape.keys)


def _unknown(rules: _Tree) -> MergeType:
    """A place outside the field table; a rule tells what is there."""
    rule = rules.get("", "")
    below = {name: _unknown(_below(rules, name)) for name in rules if name}
    inside = MapType(below, Open.STRUCT, rest_named=True) if below else Open.STRUCT
    if not isinstance(rule, str) or not rule:
        return inside
    if rule == "atomic":
        return MapType(rest=Open.MAP, atomic=True)
    if rule == "map":
        return MapType(rest=Open.MAP)
    if rule == "set":
        return ListType(Leaf.ANY, unique=True)
    keys, defaults = keys_in(rule)
    return ListType(inside, keys, defaults=defaults)


def _below(rules: _Tree, name: str) -> _Tree:
    found = rules.get(name, {})
    return found if isinstance(found, dict) else {}
