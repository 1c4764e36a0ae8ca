"""Plans a checked tree for metered evaluation, the way cel-go plans it: lookups joined, constants folded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydra_testbed.cel.attributes import Attribute, Choice, Computed, Step, Variable
from pydra_testbed.cel.calculus import Optional, Problem, TypeName, Uint
from pydra_testbed.cel.calls import call
from pydra_testbed.cel.estimate import LIST_COST, MAP_COST, MESSAGE_COST
from pydra_testbed.cel.meter import (
    Call,
    Constant,
    Logic,
    Loop,
    Made,
    Membership,
    NotStrictlyFalse,
    OptionalOr,
    Plan,
)
from pydra_testbed.cel.wire import Tree

_CONVERSIONS = frozenset(
    ["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"]
)
_LOOKUPS = {"_[_]": False, "_[?_]": True, "_?._": True}
_PRIMITIVES = bool | int | float | str


def plan(tree: Tree) -> Plan:
    """A program for the whole tree, before Kubernetes' rewriting."""
    return _Planner(tree).plan(tree.root)


class _Planner:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._kinds: Mapping[str, Callable[[Any], Plan]] = {
            "const_expr": lambda node: Constant(_constant(node.const_expr)),
            "ident_expr": self._ident,
            "select_expr": self._select,
            "call_expr": self._call,
            "list_expr": self._list,
            "struct_expr": self._struct,
            "comprehension_expr": self._loop,
        }

    def plan(self, node: Any) -> Plan:
        return self._kinds[node.WhichOneof("kind")](node)

    def _ident(self, node: Any) -> Plan:
        kind = self._tree.type_of(node)
        if kind is not None and kind.WhichOneof("kind") == "type":
            return Constant(TypeName(node.ident_expr.name))
        name, _, field = node.ident_expr.name.partition(".")
        return Attribute(Variable(name), [Step(field)] if field else [])

    def _select(self, node: Any) -> Plan:
        select = node.select_expr
        lookup = self._lookup(select.operand)
        lookup.add(Step(select.field, is_test=select.test_only))
        return lookup

    def _lookup(self, node: Any) -> Attribute | Choice:
        """The plan of a node, as something that steps can be added to."""
        planned = self.plan(node)
        return planned if isinstance(planned, Attribute | Choice) else Attribute(Computed(planned))

    def _call(self, node: Any) -> Plan:
        function = node.call_expr.function
        args = node.call_expr.args
        match function:
            case "_&&_" | "_||_":
                return Logic(function == "_||_", tuple(map(self.plan, args)))
            case "_?_:_":
                first, second = (self._lookup(arg) for arg in args[1:])
                branches = tuple(
                    Attribute(Computed(each)) if isinstance(each, Choice) else each
                    for each in (first, second)
                )
                return Choice(self.plan(args[0]), (branches[0], branches[1]))
            case "@not_strictly_false":
                return NotStrictlyFalse(self.plan(args[0]))
            case "or" | "orValue" if node.call_expr.HasField("target"):
                target = self.plan(node.call_expr.target)
                return OptionalOr(target, self.plan(args[0]), function == "orValue")
        return self._index(node) if function in _LOOKUPS else self._function(node)

    def _index(self, node: Any) -> Plan:
        base, key = node.call_expr.args
        is_optional = _LOOKUPS[node.call_expr.function]
        lookup, index = self._lookup(base), self.plan(key)
        if isinstance(index, Constant):
            lookup.add(Step(index.value, is_optional=is_optional))
        else:
            inner = index if isinstance(index, Attribute) else Attribute(Computed(index))
            lookup.add(Step(lookup=inner, is_optional=is_optional))
        return lookup

    def _function(self, node: Any) -> Plan:
        asked, overloads = node.call_expr, self._tree.overloads(node)
        is_member = asked.HasField("target")
        operands = [asked.target, *asked.args] if is_member else list(asked.args)
        args = tuple(map(self.plan, operands))
        overload = overloads[0] if len(overloads) == 1 else ""
        if asked.function in _CONVERSIONS and len(args) == 1 and isinstance(args[0], Constant):
            return Constant(call(asked.function, [args[0].value], is_member=False))
        if overload == "in_list" and isinstance(args[1], Constant):
            if not args[1].value:
                return Constant(False)
            if all(isinstance(item, _PRIMITIVES) for item in args[1].value):
                return Membership(args[0], args[1].value)
        return Call(asked.function, overload, args, is_member)

    def _list(self, node: Any) -> Plan:
        parts = tuple(map(self.plan, node.list_expr.elements))
        optional = frozenset(node.list_expr.optional_indices)

        def build(values: list[Any]) -> list[Any]:
            given = [(index in optional, value) for index, value in enumerate(values)]
            present = [(is_open, v) for is_open, v in given if not is_open or v.present]
            return [value.value if is_open else value for is_open, value in present]

        return _folded(parts, build, LIST_COST, can_fold=not optional)

    def _struct(self, node: Any) -> Plan:
        entries = node.struct_expr.entries
        if node.struct_expr.message_name:
            values = tuple(self.plan(entry.value) for entry in entries)
            return Made(values, _message(node.struct_expr.message_name), MESSAGE_COST)
        parts = [self.plan(part) for entry in entries for part in (entry.map_key, entry.value)]
        optional = [entry.optional_entry for entry in entries]

        def build(values: list[Any]) -> dict[Any, Any]:
            pairs = zip(values[::2], values[1::2], optional, strict=True)
            given = [(k, v if is_open else Optional(v)) for k, v, is_open in pairs]
            return {key: value.value for key, value in given if value.present}

        return _folded(tuple(parts), build, MAP_COST, can_fold=not any(optional))

    def _loop(self, node: Any) -> Plan:
        loop = node.comprehension_expr
        return Loop(
            (loop.iter_var, loop.iter_var2) if loop.iter_var2 else (loop.iter_var,),
            loop.accu_var,
            self.plan(loop.iter_range),
            self.plan(loop.accu_init),
            self.plan(loop.loop_condition),
            self.plan(loop.loop_step),
            self.plan(loop.result),
        )


def _folded(
    parts: tuple[Plan, ...], build: Callable[[list[Any]], Any], cost: int, *, can_fold: bool
) -> Plan:
    constants = [part.value for part in parts if isinstance(part, Constant)]
    if can_fold and len(constants) == len(parts):
        return Constant(build(constants))
    return Made(parts, build, cost)


def _message(name: str) -> Callable[[list[Any]], Any]:
    """Wrappers are the value they wrap; nothing else that selectors could make is a value."""
    package, _, kind = name.rpartition(".")
    empty = _WRAPPERS.get(kind) if package == "google.protobuf" else None
    if empty is None:
        return lambda _: Problem(f"unknown type '{name}'")
    return lambda values: values[0] if values else empty


_WRAPPERS: Mapping[str, Any] = {
    "BoolValue": False,
    "BytesValue": b"",
    "DoubleValue": 0.0,
    "FloatValue": 0.0,
    "Int32Value": 0,
    "Int64Value": 0,
    "StringValue": "",
    "UInt32Value": Uint(0),
    "UInt64Value": Uint(0),
}


def _constant(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind in {None, "null_value"}:
        return None
    found = getattr(value, kind)
    return Uint(found) if kind == "uint64_value" else found
