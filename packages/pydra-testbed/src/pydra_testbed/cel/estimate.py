"""The worst cost an expression can have, as the API server estimates it before it stores one.

Follows cel-go's `checker.Cost` (v0.26) with the options of Kubernetes' environment: presence tests are free.
Costs are ranges; only their upper end is reported. Walks the checked tree before Kubernetes' rewriting.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydra_testbed.cel import callcosts
from pydra_testbed.cel.costtypes import SUMS, Call, Node
from pydra_testbed.cel.ranges import EMPTY_UNION, NOTHING, ONE, UNKNOWN, Range, fixed
from pydra_testbed.cel.sizes import size_of
from pydra_testbed.cel.typetext import Kind, kind_of
from pydra_testbed.cel.wire import Tree

MAX_COST = 1_000_000
LIST_COST, MAP_COST, MESSAGE_COST = 10, 30, 40
ACCUMULATORS = frozenset({"__result__", "@result"})
_SELECTABLE = frozenset({Kind.MAP, Kind.MESSAGE, Kind.PARAMETER})
_CONTAINERS = {"list_expr": Kind.LIST, "struct_expr": Kind.MAP}


def worst_cost(tree: Tree) -> int:
    """The largest cost in CEL's units; 2^64 - 1 where it has no bound."""
    return _Coster(tree).cost(tree.root).most


class _Entries(NamedTuple):
    """Sizes of the keys and values of a list or map."""

    kind: Kind
    keys: Range
    values: Range

    def union(self, other: _Entries) -> _Entries:
        return _Entries(self.kind, self.keys.union(other.keys), self.values.union(other.values))


class _Local(NamedTuple):
    path: tuple[str, ...]
    size: Range | None
    entries: _Entries | None


class _Coster:
    """One walk; what is found out about a node is kept by its id."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._paths: dict[int, tuple[str, ...]] = {}
        self._sizes: dict[int, Range] = {}
        self._entries: dict[int, _Entries] = {}
        self._locals: dict[str, list[_Local]] = {}
        self._kinds = {
            "const_expr": lambda _: NOTHING,
            "ident_expr": self._ident,
            "select_expr": self._select,
            "call_expr": self._call,
            "list_expr": self._list,
            "struct_expr": self._struct,
            "comprehension_expr": self._comprehension,
        }

    def cost(self, node: Any) -> Range:
        kind = node.WhichOneof("kind")
        return self._kinds[kind](node) if kind else NOTHING

    def _ident(self, node: Any) -> Range:
        name = node.ident_expr.name
        local = self._local(name)
        # `device.attributes` is one variable here and two steps in Kubernetes.
        steps = tuple(name.split("."))
        self._paths[node.id] = local.path if local else steps
        return fixed(1 if local else len(steps))

    def _select(self, node: Any) -> Range:
        select = node.select_expr
        total = self.cost(select.operand)
        if select.test_only:
            return total
        if kind_of(self._tree.type_of(select.operand)) in _SELECTABLE:
            total = total.plus(ONE)
        self._paths[node.id] = (*self._path(select.operand), select.field)
        return total

    def _call(self, node: Any) -> Range:
        call = node.call_expr
        if call.function == "dyn":
            total = ONE.plus(self.cost(call.args[0]))
            self._copy(node, call.args[0])
            return total
        costs = [self.cost(arg) for arg in call.args]
        args = [self._node(arg) for arg in call.args]
        overloads = self._tree.overloads(node)
        if not overloads:
            return NOTHING
        total, target = NOTHING, None
        if call.HasField("target"):
            total, target = self.cost(call.target), self._node(call.target)
        spent, size = EMPTY_UNION, None
        for overload in overloads:
            asked = Call(call.function, overload, target, tuple(args), tuple(costs))
            estimate = callcosts.estimate(asked)
            spent = spent.union(estimate.cost)
            if estimate.size is not None:
                size = estimate.size if size is None else size.union(estimate.size)
            size = self._note_entries(node, overload, size)
        if size is not None:
            self._sizes[node.id] = size
        return total.plus(spent)

    def _note_entries(self, node: Any, overload: str, size: Range | None) -> Range | None:
        """What a call says about the inside of its result."""
        args = node.call_expr.args
        if overload in callcosts.CHOICES | SUMS:
            first, second = (self._entries_of(arg) for arg in args[-2:])
            if first is not None and second is not None:
                self._entries[node.id] = first.union(second)
        if overload in {"index_list", "index_map"}:
            entries = self._entries_of(args[0])
            size = entries.values if entries else None
            inside = "@items" if overload == "index_list" else "@values"
            self._paths[node.id] = (*self._path(args[0]), inside)
        return self._size(node) if size is None else size

    def _list(self, node: Any) -> Range:
        total, items = NOTHING, EMPTY_UNION
        for element in node.list_expr.elements:
            total = total.plus(self.cost(element))
            items = items.union(self._size_or_unknown(element))
        items = items if node.list_expr.elements else NOTHING
        self._entries[node.id] = _Entries(Kind.LIST, ONE, items)
        return total.plus(fixed(LIST_COST))

    def _struct(self, node: Any) -> Range:
        total, keys, values = NOTHING, EMPTY_UNION, EMPTY_UNION
        for entry in node.struct_expr.entries:
            if entry.HasField("map_key"):
                total = total.plus(self.cost(entry.map_key))
                keys = keys.union(self._size_or_unknown(entry.map_key))
            total = total.plus(self.cost(entry.value))
            values = values.union(self._size_or_unknown(entry.value))
        if node.struct_expr.message_name:
            return total.plus(fixed(MESSAGE_COST))
        if not node.struct_expr.entries:
            keys = values = NOTHING
        self._entries[node.id] = _Entries(Kind.MAP, keys, values)
        return total.plus(fixed(MAP_COST))

    def _comprehension(self, node: Any) -> Range:
        loop = node.comprehension_expr
        total = self.cost(loop.iter_range).plus(self.cost(loop.accu_init))
        accumulator = _Local(
            self._path(loop.accu_init), self._size(loop.accu_init), self._entries_of(loop.accu_init)
        )
        self._push(loop.accu_var, accumulator)
        if is_bind(node):
            total = total.plus(self.cost(loop.result))
            self._pop(loop.accu_var)
            self._copy(node, loop.result)
            return total
        variables = self._push_iterated(loop)
        each = self.cost(loop.loop_condition).plus(self.cost(loop.loop_step))
        self._pop(*variables)
        total = total.plus(self.cost(loop.result))
        self._pop(loop.accu_var)
        count = self._size_or_unknown(loop.iter_range)
        self._note_result(node, count)
        return total.plus(count.times(each))

    def _push_iterated(self, loop: Any) -> tuple[str, ...]:
        """Make the loop's variables known, with what is known of the range's inside."""
        entries = self._entries_of(loop.iter_range)
        path = self._path(loop.iter_range)
        kind = entries.kind if entries else kind_of(self._tree.type_of(loop.iter_range))
        is_list = kind is Kind.LIST
        keys = _Local((*path, "@indices" if is_list else "@keys"), entries and entries.keys, None)
        values = _Local(
            (*path, "@items" if is_list else "@values"), entries and entries.values, None
        )
        if loop.iter_var2:
            self._push(loop.iter_var, keys)
            self._push(loop.iter_var2, values)
            return loop.iter_var, loop.iter_var2
        self._push(loop.iter_var, values if is_list else keys)
        return (loop.iter_var,)

    def _note_result(self, node: Any, count: Range) -> None:
        loop = node.comprehension_expr
        kind = loop.accu_init.WhichOneof("kind")
        if kind == "const_expr":
            size = self._size(loop.accu_init)
            if size is not None:
                self._sizes[node.id] = size
        elif kind in _CONTAINERS:
            self._sizes[node.id] = count
            if (entries := self._entries_of(loop.loop_step)) is not None:
                self._entries[node.id] = entries

    def _push(self, name: str, local: _Local) -> None:
        self._locals.setdefault(name, []).append(local)

    def _pop(self, *names: str) -> None:
        for name in names:
            self._locals[name].pop()

    def _local(self, name: str) -> _Local | None:
        known = self._locals.get(name)
        return known[-1] if known else None

    def _path(self, node: Any) -> tuple[str, ...]:
        if node.WhichOneof("kind") == "ident_expr" and (local := self._local(node.ident_expr.name)):
            return local.path
        return self._paths.get(node.id, ())

    def _node(self, node: Any) -> Node:
        path = self._path(node)
        path = () if path and path[0] in ACCUMULATORS else path
        return Node(self._tree.type_of(node), self._size(node), path, node)

    def _copy(self, node: Any, source: Any) -> None:
        if (size := self._size(source)) is not None:
            self._sizes[node.id] = size
        if (entries := self._entries_of(source)) is not None:
            self._entries[node.id] = entries

    def _size_or_unknown(self, node: Any) -> Range:
        return self._size(node) or UNKNOWN

    def _size(self, node: Any) -> Range | None:
        if node.id in self._sizes:
            return self._sizes[node.id]
        written = _written_size(node)
        if written is not None:
            return fixed(written)
        if (size := size_of(self._path(node))) is not None:
            self._sizes[node.id] = size
            return size
        if callcosts.is_scalar(self._tree.type_of(node)):
            return ONE
        if node.WhichOneof("kind") == "ident_expr" and (local := self._local(node.ident_expr.name)):
            return local.size
        return None

    def _entries_of(self, node: Any) -> _Entries | None:
        if node.id in self._entries:
            return self._entries[node.id]
        if node.WhichOneof("kind") == "ident_expr" and (local := self._local(node.ident_expr.name)):
            return local.entries
        return None


def is_bind(node: Any) -> bool:
    """Whether a comprehension is what `cel.bind` becomes."""
    loop = node.comprehension_expr
    never = loop.loop_condition.const_expr
    return (
        loop.iter_range.WhichOneof("kind") == "list_expr"
        and not loop.iter_range.list_expr.elements
        and never.WhichOneof("kind") == "bool_value"
        and not never.bool_value
        and loop.accu_var not in ACCUMULATORS
    )


def _written_size(node: Any) -> int | None:
    """The size of a constant, list or map that is written out."""
    match node.WhichOneof("kind"):
        case "const_expr":
            kind = node.const_expr.WhichOneof("kind")
            value = getattr(node.const_expr, kind) if kind else None
            return len(value) if isinstance(value, str | bytes) else 1
        case "list_expr":
            return len(node.list_expr.elements)
        case "struct_expr" if not node.struct_expr.message_name:
            return len(node.struct_expr.entries)
    return None
