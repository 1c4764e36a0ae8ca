"""What one call can cost and how large its result can be: cel-go's standard functions and Kubernetes' libraries.

Used by `estimate` for each overload a call may mean. Factors and rules are cel-go's (`checker/cost.go`, the sets
and lists extensions) and Kubernetes' (`apiserver/pkg/cel/library/cost.go`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydra_testbed.cel.costtypes import PATTERN, TRAVERSAL, Call, Estimate, Node
from pydra_testbed.cel.ranges import MOST, NOTHING, ONE, Range
from pydra_testbed.cel.sizes import size_of
from pydra_testbed.cel.standardcosts import lists, standard
from pydra_testbed.cel.typetext import Kind, kind_of, type_text

CHOICES = frozenset({"conditional"})
SCANS = frozenset({"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"})
ACCESSORS = frozenset(
    [
        "masked",
        "prefixLength",
        "family",
        "isUnspecified",
        "isLoopback",
        "isLinkLocalMulticast",
        "isLinkLocalUnicast",
        "isGlobalUnicast",
        "format.named",
        "sign",
        "asInteger",
        "isInteger",
        "asApproximateFloat",
        "isGreaterThan",
        "isLessThan",
        "compareTo",
        "add",
        "sub",
        "major",
        "minor",
        "patch",
        "getScheme",
        "getHostname",
        "getHost",
        "getPort",
        "getEscapedPath",
        "getQuery",
    ]
)
PARSERS = frozenset(
    ["cidr", "isIP", "isCIDR", "ip", "quantity", "isQuantity", "semver", "isSemver"]
)
INCLUDES_MOST = 48
_LONGEST_PATTERN, _LONGEST_FORMAT = 128, 64
_ADDRESS = Range(4, 16)


def estimate(call: Call) -> Estimate:
    """Estimate one overload of a call."""
    own = lists(call) or _kubernetes(call)
    if own is not None:
        return Estimate(own.cost.plus(call.spent), own.size)
    return standard(call)


def is_scalar(kind: Any) -> bool:
    """Whether values of the type have a fixed size."""
    if kind is not None and kind.abstract_type.name == "optional_type":
        return is_scalar(kind.abstract_type.parameter_types[0])
    return kind_of(kind) is Kind.SCALAR


def _kubernetes(call: Call) -> Estimate | None:
    name = call.function
    if name == "includes":
        return Estimate(Range(0, INCLUDES_MOST))
    if name in SCANS and call.target is not None:
        return _scan(call.target)
    if name in _BY_NAME and (call.args or call.target):
        return _BY_NAME[name](call)
    if name in ACCESSORS or call.overload == "cidr_ip":
        return Estimate(ONE)
    if name in PARSERS and call.args:
        return Estimate(call.args[0].size_or_unknown.scaled(TRAVERSAL))
    return _equality(call) if name == "_==_" else None


def _scan(target: Node) -> Estimate:
    size = target.size_or_unknown
    if (items := _items(target)) is None:
        return Estimate(size.scaled(TRAVERSAL))
    each = ONE
    if kind_of(items.type) is Kind.TEXT:
        each = each.plus(items.size_or_unknown.scaled(TRAVERSAL))
    return Estimate(size.times(each))


def _items(node: Node) -> Node | None:
    """What stands in a list; None for anything that has no parts."""
    kind = kind_of(node.type)
    if kind is Kind.LIST:
        inside = node.type.list_type.elem_type
    elif kind is Kind.MAP:
        inside = node.type.map_type.key_type
    else:
        return None
    path = (*node.path, "@items") if node.path else ()
    return Node(inside, size_of(path), path)


def _same_size(call: Call) -> Estimate:
    size = call.subject.size_or_unknown
    return Estimate(size.scaled(TRAVERSAL), size)


def _replace(call: Call) -> Estimate:
    size, old, new = (node.size_or_unknown for node in (call.subject, *call.args[:2]))
    most, least, kept_most, kept_least = 0, 0, 0, 0
    if old.least == 0:
        most, kept_most = min(size.most + 1, MOST), size.most
    elif new.most <= old.least:
        kept_most = size.most
    else:
        most = -(-size.most // old.least)
    if old.most == 0:
        least, kept_least = min(size.least + 1, MOST), size.least
    elif old.most <= new.least:
        kept_least = size.least
    else:
        least = -(-size.least // old.most)
    result = Range(least, most).times(new).plus(Range(kept_least, kept_most))
    return Estimate(size.scaled(2 * TRAVERSAL), result)


def _split(call: Call) -> Estimate:
    size = call.subject.size_or_unknown
    most = size.most
    if len(call.args) > 1:
        limit = call.args[1].expression.const_expr
        if limit.WhichOneof("kind") == "int64_value":
            most = limit.int64_value % 2**64
    return Estimate(size.scaled(2 * TRAVERSAL), Range(0, most))


def _join(call: Call) -> Estimate:
    count, size = call.subject.size_or_unknown, NOTHING
    if (items := _items(call.subject)) is not None:
        size = count.times(items.size_or_unknown)
    if call.args:
        between = Range(max(count.least - 1, 0), max(count.most - 1, 0))
        size = size.plus(call.args[0].size_or_unknown.times(between))
    return Estimate(size.scaled(TRAVERSAL), size)


def _search(call: Call) -> Estimate:
    size = call.subject.size_or_unknown
    text = size.plus(ONE).scaled(TRAVERSAL)
    pattern = call.args[0].size_or_unknown.scaled(PATTERN)
    return Estimate(text.times(pattern), Range(0, size.most))


def _contains_address(call: Call) -> Estimate:
    cost = _ADDRESS.plus(_ADDRESS).scaled(TRAVERSAL)
    if call.function == "containsCIDR":
        cost = cost.plus(_ADDRESS.scaled(TRAVERSAL)).plus(ONE)
    if call.overload.endswith("_string"):
        cost = cost.plus(call.args[0].size_or_unknown.scaled(TRAVERSAL))
    return Estimate(cost)


def _validate(call: Call) -> Estimate:
    text = call.args[0].size_or_unknown.scaled(TRAVERSAL)
    return Estimate(text.scaled(_LONGEST_PATTERN * PATTERN))


def _equality(call: Call) -> Estimate | None:
    left, right = call.args
    if left.type is None or right.type is None or type_text(left.type) != type_text(right.type):
        return None
    match left.type.message_type:
        case "net.IP" | "net.CIDR" | "kubernetes.Quantity" | "kubernetes.Semver":
            return Estimate(ONE)
        case "kubernetes.NamedFormat":
            return Estimate(Range(1, _LONGEST_FORMAT).scaled(TRAVERSAL))
        case "kubernetes.URL":
            size = right.size or ONE
            return Estimate(Range(1, size.most).scaled(TRAVERSAL))
    return None


_BY_NAME: dict[str, Callable[[Call], Estimate]] = {
    **dict.fromkeys(("url", "lowerAscii", "upperAscii", "substring", "trim"), _same_size),
    "replace": _replace,
    "split": _split,
    "join": _join,
    "find": _search,
    "findAll": _search,
    "ip.isCanonical": lambda call: Estimate(call.args[0].size_or_unknown.scaled(2 * TRAVERSAL)),
    "containsIP": _contains_address,
    "containsCIDR": _contains_address,
    "validate": _validate,
}
