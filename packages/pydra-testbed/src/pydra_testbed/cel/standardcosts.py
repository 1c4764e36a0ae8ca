"""The worst cost of cel-go's own functions: the standard library, and the lists and sets extensions.

Rules are those of cel-go's `checker/cost.go`, `ext/lists.go` and `ext/sets.go`; `callcosts` asks.
"""

from __future__ import annotations

from collections.abc import Callable

from pydra_testbed.cel.costtypes import COMPARISONS, PATTERN, SUMS, TRAVERSAL, Call, Estimate, Node
from pydra_testbed.cel.ranges import MOST, ONE, Range, fixed


def lists(call: Call) -> Estimate | None:
    """The lists and sets extensions."""
    sizes = [node.size_or_unknown for node in (call.target, *call.args) if node is not None]
    if call.overload in _LISTS:
        return _LISTS[call.overload](call, sizes)
    if call.overload.startswith("list_") and call.overload.endswith(
        ("_sort", "_sortByAssociatedKeys")
    ):
        is_text = call.overload.split("_")[1] in {"string", "bytes"}
        return _made_list(2 + TRAVERSAL if is_text else 2, sizes[-1].times(sizes[-1]))
    return None


def _made_list(factor: float, size: Range) -> Estimate:
    return Estimate(size.scaled(factor).plus(fixed(11)), size)


def _set_operation(factor: float) -> Callable[[Call, list[Range]], Estimate]:
    return lambda _, sizes: Estimate(sizes[0].times(sizes[1]).scaled(factor).plus(ONE))


def _slice(call: Call, sizes: list[Range]) -> Estimate:
    length = _constant(call.args[1], sizes[0].most) - _constant(call.args[0], 0)
    return _made_list(1, fixed(length % 2**64))


def _flatten(call: Call, sizes: list[Range]) -> Estimate:
    return _made_list(_constant(call.args[0], MOST) if call.args else 1, sizes[0])


def _constant(node: Node, otherwise: int) -> int:
    value = node.expression.const_expr
    if value.WhichOneof("kind") != "int64_value":
        return otherwise
    return max(int(value.int64_value), 0)


_LISTS: dict[str, Callable[[Call, list[Range]], Estimate]] = {
    "list_sets_contains_list": _set_operation(1),
    "list_sets_intersects_list": _set_operation(1),
    "list_sets_equivalent_list": _set_operation(2),
    "list_slice": _slice,
    "list_range": lambda call, _: _made_list(1, fixed(_constant(call.args[0], MOST))),
    "list_reverse": lambda _, sizes: _made_list(1, sizes[0]),
    "list_flatten": _flatten,
    "list_flatten_int": _flatten,
    "list_distinct": lambda _, sizes: _made_list(2, sizes[0].times(sizes[0])),
}


def standard(call: Call) -> Estimate:
    """The standard library; what it does not name costs one."""
    sizes = [node.size_or_unknown for node in call.args]
    if call.overload in {"logical_or", "logical_and"}:
        return Estimate(Range(call.costs[0].least, call.spent.most))
    if call.overload == "conditional":
        branches = call.costs[1].union(call.costs[2])
        return Estimate(call.costs[0].plus(branches), sizes[1].union(sizes[2]))
    cost, size = ONE, None
    if call.overload in SUMS:
        size = sizes[0].plus(sizes[1])
        cost = ONE if call.overload == "add_list" else size.scaled(TRAVERSAL)
    elif call.overload in COMPARISONS:
        most = min(sizes[0].most, sizes[1].most)
        cost = Range(min(most, 1), most).scaled(TRAVERSAL)
    elif call.overload in _TEXTS and (call.target or call.overload not in _METHODS):
        cost, size = _TEXTS[call.overload](call.subject.size_or_unknown, sizes)
    return Estimate(cost.plus(call.spent), size)


def _text_pattern(subject: Range, sizes: list[Range]) -> Estimate:
    return Estimate(subject.plus(ONE).scaled(TRAVERSAL).times(sizes[0].scaled(PATTERN)))


def _text_part(subject: Range, sizes: list[Range]) -> Estimate:
    return Estimate(subject.scaled(TRAVERSAL).times(sizes[0].scaled(TRAVERSAL)))


def _to_bytes(_: Range, sizes: list[Range]) -> Estimate:
    size = sizes[0]
    return Estimate(size.scaled(TRAVERSAL), Range(size.least, size.most * 4 % 2**64))


def _to_text(_: Range, sizes: list[Range]) -> Estimate:
    size = sizes[0]
    return Estimate(size.scaled(TRAVERSAL), Range(size.least // 4, size.most))


_METHODS = frozenset({"matches_string"})
_TEXTS: dict[str, Callable[[Range, list[Range]], Estimate]] = {
    "string_format": lambda subject, _: Estimate(subject.scaled(TRAVERSAL)),
    "string_to_bytes": _to_bytes,
    "bytes_to_string": _to_text,
    "starts_with_string": lambda _, sizes: Estimate(sizes[0].scaled(TRAVERSAL)),
    "ends_with_string": lambda _, sizes: Estimate(sizes[0].scaled(TRAVERSAL)),
    "in_list": lambda _, sizes: Estimate(sizes[1]),
    "matches_string": _text_pattern,
    "contains_string": _text_part,
}
