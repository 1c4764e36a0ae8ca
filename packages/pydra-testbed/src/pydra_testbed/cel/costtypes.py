"""What the estimates of calls are made of: operands, a call, its estimate, and cel-go's cost factors."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydra_testbed.cel.ranges import NOTHING, UNKNOWN, Range

TRAVERSAL, PATTERN = 0.1, 0.25
"""Cost of one character that is read, and of one character of a pattern."""

SUMS = frozenset({"add_string", "add_bytes", "add_list"})
COMPARISONS = frozenset(
    {"equals", "not_equals"}
    | {
        f"{how}_{kind}"
        for how in ("less", "greater", "less_equals", "greater_equals")
        for kind in ("string", "bytes")
    }
)


class Node(NamedTuple):
    """An operand: its static type, its size if that is known, the way to it, and the expression."""

    type: Any
    size: Range | None
    path: tuple[str, ...] = ()
    expression: Any = None

    @property
    def size_or_unknown(self) -> Range:
        return self.size or UNKNOWN


class Call(NamedTuple):
    """One overload of a call with its operands; `costs` are those of the arguments."""

    function: str
    overload: str
    target: Node | None
    args: tuple[Node, ...]
    costs: tuple[Range, ...]

    @property
    def spent(self) -> Range:
        total = NOTHING
        for cost in self.costs:
            total = total.plus(cost)
        return total

    @property
    def subject(self) -> Node:
        return self.target or self.args[0]


class Estimate(NamedTuple):
    """The cost of a call, its arguments' included, and the size of its result."""

    cost: Range
    size: Range | None = None
