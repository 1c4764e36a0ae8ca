"""Kubernetes' rules that no function can express, applied to the checked tree before it runs.

- `device.attributes["x"]` for an unknown domain is an empty map, for an unknown name an error. The lookup
  becomes `"x" in device.attributes ? device.attributes["x"] : {}`, which the evaluator runs natively.
- `has()` of a device's own fields is always true.
- Quantities are equal by value: `==` goes to a function where both sides are known to be quantities.
- A version on the left of `==` refuses anything but a version; attributes, which may be versions, are asked.
- Functions that return an optional are written without it, as Python cannot make one: it is put around them.
- `quantity("1Gi")` and `semver("1.2.3")` of constants become ready-made values.
"""

from __future__ import annotations

from typing import Any

from pydra_testbed.cel import functions
from pydra_testbed.cel.features import DEFAULT, Features
from pydra_testbed.cel.wire import Tree, children, new_node

_DEVICE = "kubernetes.DRADevice"
_QUANTITY = "kubernetes.Quantity"
_SEMVER = "kubernetes.Semver"
_ANY = 1  # cel.expr.Type.WellKnownType.ANY
_OWN_TYPES = ("kubernetes.", "net.")
_LOOKUPS = {"_[_]": False, "_[?_]": True, "_?._": True}
_MAPS = ("attributes", "capacity")
_OPTIONAL = {"validate", "format.named"}
_READY = {"quantity": functions.quantity, "semver": functions.semver}


def apply_kubernetes_rules(tree: Tree, features: Features = DEFAULT) -> None:
    """Change the tree in place, children before parents."""
    tree.attributes_are_dyn = features.list_attributes
    _visit(tree, tree.root)


def _visit(tree: Tree, node: Any) -> None:
    for child in children(node):
        _visit(tree, child)
    kind = node.WhichOneof("kind")
    if kind == "select_expr":
        _rewrite_select(tree, node)
    elif kind == "call_expr":
        _rewrite_call(tree, node)
    elif node.struct_expr.message_name.startswith(_OWN_TYPES):
        name = _string(tree, node.struct_expr.message_name)
        _replace(node, _call(tree, functions.UNKNOWN_TYPE, name))


def _rewrite_select(tree: Tree, node: Any) -> None:
    select = node.select_expr
    if _message(tree, select.operand) == _DEVICE:
        if select.test_only:
            node.const_expr.bool_value = True
        elif select.field in _MAPS:
            node.ident_expr.name = f"device.{select.field}"
    elif _is_domain_map(tree, select.operand) and not select.test_only:
        _default_to_empty(tree, node, select.operand, _string(tree, select.field), optional=False)


def _rewrite_call(tree: Tree, node: Any) -> None:
    call = node.call_expr
    if call.function in _LOOKUPS and _is_domain_map(tree, call.args[0]):
        optional = _LOOKUPS[call.function]
        _default_to_empty(tree, node, call.args[0], call.args[1], optional=optional)
    elif call.function in {"_==_", "_!=_"} and all(
        _message(tree, side) == _QUANTITY for side in call.args
    ):
        _compare_by_value(tree, node)
    elif call.function == "_==_" and _may_be_version(tree, call.args[0]):
        _refuse_other_types(tree, node)
    elif (call.function, len(call.args)) in functions.OWN_TEXTS and _may_be_text(tree, call.target):
        call.function = f"kubernetes.{call.function}"
    elif call.function in _READY and len(call.args) == 1:
        _make_ready(node)
    elif call.function in _OPTIONAL:
        found = new_node()
        found.CopyFrom(node)
        _replace(node, _call(tree, "optional.ofNonZeroValue", found))


def _default_to_empty(tree: Tree, node: Any, domains: Any, key: Any, *, optional: bool) -> None:
    found = _call(tree, "_[_]", domains, key)
    empty = _node(tree)
    empty.struct_expr.SetInParent()
    lookup = _call(tree, "_?_:_", _call(tree, "@in", key, domains), found, empty)
    _replace(node, _call(tree, "optional.of", lookup) if optional else lookup)


def _compare_by_value(tree: Tree, node: Any) -> None:
    call = node.call_expr
    equal = _call(tree, functions.QUANTITY_EQUALS, *call.args)
    _replace(node, equal if call.function == "_==_" else _call(tree, "!_", equal))


def _may_be_version(tree: Tree, node: Any) -> bool:
    """Whether this reads an attribute, of which only the value tells the type."""
    kind = tree.type_of(node)
    is_any = kind is not None and kind.well_known == _ANY
    return is_any and (
        node.WhichOneof("kind") == "select_expr" or node.call_expr.function == "_[_]"
    )


def _may_be_text(tree: Tree, node: Any) -> bool:
    kind = tree.type_of(node)
    return kind is None or kind.WhichOneof("kind") != "list_type"


def _refuse_other_types(tree: Tree, node: Any) -> None:
    left, right = node.call_expr.args
    equals = new_node()
    equals.CopyFrom(node)
    version = _node(tree)
    version.ident_expr.name = _SEMVER
    is_version = _call(tree, "_==_", _call(tree, "type", left), version)
    compared = _call(tree, functions.SEMVER_EQUALS, left, right)
    _replace(node, _call(tree, "_?_:_", is_version, compared, equals))


def _make_ready(node: Any) -> None:
    """Build the message in the tree; a text that does not parse stays, and fails when it is reached."""
    call = node.call_expr
    constant = call.args[0].const_expr
    if constant.WhichOneof("kind") != "string_value":
        return
    try:
        message = _READY[call.function](constant.string_value)
    except ValueError:
        return
    node.struct_expr.message_name = message.DESCRIPTOR.full_name
    for field, value in message.ListFields():
        entry = node.struct_expr.entries.add(field_key=field.name)
        slot = {str: "string_value", bool: "bool_value", int: "int64_value"}[type(value)]
        setattr(entry.value.const_expr, slot, value)


def _is_domain_map(tree: Tree, node: Any) -> bool:
    """Only `device.attributes` and `device.capacity` have these types."""
    kind = tree.type_of(node)
    if kind is None or not kind.map_type.value_type.HasField("map_type"):
        return False
    value = kind.map_type.value_type.map_type.value_type
    is_attribute = value.HasField("dyn") if tree.attributes_are_dyn else value.well_known == _ANY
    return bool(is_attribute or value.message_type == _QUANTITY)


def _message(tree: Tree, node: Any) -> str:
    kind = tree.type_of(node)
    return kind.message_type if kind is not None else ""


def _node(tree: Tree) -> Any:
    node = new_node()
    node.id = tree.fresh_id()
    return node


def _string(tree: Tree, text: str) -> Any:
    node = _node(tree)
    node.const_expr.string_value = text
    return node


def _call(tree: Tree, function: str, *args: Any) -> Any:
    node = _node(tree)
    node.call_expr.function = function
    node.call_expr.args.extend(args)
    return node


def _replace(node: Any, other: Any) -> None:
    """Become `other`, but keep the id: its static type still holds."""
    identity = node.id
    node.CopyFrom(other)
    node.id = identity
