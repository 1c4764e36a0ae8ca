"""What a call did cost, from the sizes of its operands and result: the run-time side of `callcosts`.

Follows cel-go's `interpreter/runtimecost.go` and Kubernetes' `CostEstimator.CallCost`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pydra_testbed.cel.calculus import Optional
from pydra_testbed.cel.callcosts import ACCESSORS, SCANS
from pydra_testbed.cel.costtypes import COMPARISONS, PATTERN, TRAVERSAL
from pydra_testbed.cel.values import (
    CidrMessage,
    FormatMessage,
    IpMessage,
    QuantityMessage,
    SemverMessage,
    UrlMessage,
)

_COMPARED_AT_ONCE = (
    QuantityMessage, SemverMessage, IpMessage, CidrMessage, FormatMessage, UrlMessage,
)  # fmt: skip
_TRAVERSED = frozenset(
    [
        "url",
        "lowerAscii",
        "upperAscii",
        "substring",
        "trim",
        "cidr",
        "isIP",
        "isCIDR",
        "ip",
        "quantity",
        "isQuantity",
        "semver",
        "isSemver",
    ]
)
_TWICE = frozenset({"replace", "split", "ip.isCanonical"})
_TRAVERSALS = frozenset(
    [
        "starts_with_string",
        "ends_with_string",
        "string_to_bytes",
        "bytes_to_string",
        "strings_quote",
        "string_format",
    ]
)
_LONGEST_PATTERNS = {
    "dns1123Label": 30, "dns1123Subdomain": 60, "dns1035Label": 30, "qualifiedName": 60,
    "dns1123LabelPrefix": 30, "dns1123SubdomainPrefix": 60, "dns1035LabelPrefix": 30,
    "labelValue": 40, "uri": 1103, "uuid": 70, "byte": 84, "date": 71, "datetime": 71,
}  # fmt: skip
_IPV4_BYTES, _IPV6_BYTES = 4, 16


def size(value: Any) -> int:
    """The size of a value: of texts, lists and maps what `size()` gives, of anything else 1."""
    if isinstance(value, str | bytes | list | Mapping):
        return len(value)
    if isinstance(value, Optional) and value.present:
        return size(value.value)
    if isinstance(value, IpMessage):
        return _IPV6_BYTES if ":" in value.text else _IPV4_BYTES
    if isinstance(value, CidrMessage):
        return math.ceil(int(value.text.partition("/")[2]) / 8)
    return 1


def cost(function: str, overload: str, args: list[Any], result: Any) -> int:
    """The cost of a call; `overload` is empty where types left several."""
    own = _lists(overload, args, result)
    if own is None:
        own = _kubernetes(function, overload, args, result)
    return _standard(overload, args) if own is None else own


def _traversal(length: int, times: int = 1) -> int:
    return math.ceil(float(length) * times * TRAVERSAL)


def _pattern(text: int, pattern: int) -> int:
    return _traversal(text + 1) * math.ceil(pattern * PATTERN)


def _kubernetes(function: str, overload: str, args: list[Any], result: Any) -> int | None:
    if function == "_==_":
        return 1 if isinstance(args[0], _COMPARED_AT_ONCE) else None
    if function in ACCESSORS or overload == "cidr_ip":
        return 1
    if function == "join":
        return _traversal(size(result), 2)
    if function in _BY_ARGS:
        return _BY_ARGS[function](args)
    return _addresses(function, overload, args)


def _validation(args: list[Any]) -> int:
    longest = _LONGEST_PATTERNS[args[0].text] if isinstance(args[0], FormatMessage) else 0
    return _pattern(size(args[1]), longest)


def _addresses(function: str, overload: str, args: list[Any]) -> int | None:
    if function not in {"containsIP", "containsCIDR"}:
        return None
    network = size(args[0])
    total = _traversal(2 * network)
    if function == "containsCIDR":
        total += _traversal(network) + 1
    if overload.endswith("_string"):
        total += _traversal(size(args[1]))
    return total


def _walk(value: Any) -> int:
    """All that stands in a value."""
    if isinstance(value, str | bytes):
        return int(len(value.encode() if isinstance(value, str) else value) * TRAVERSAL)
    if isinstance(value, list):
        return sum(map(_walk, value))
    if isinstance(value, Mapping):
        return sum(_walk(key) + _walk(item) for key, item in value.items())
    return 1


def _lists(overload: str, args: list[Any], result: Any) -> int | None:
    if overload.startswith("list_sets_"):
        factor = 2 if "equivalent" in overload else 1
        return 1 + size(args[0]) * size(args[1]) * factor
    match overload:
        case "list_slice" | "list_range" | "list_reverse":
            return 11 + size(result)
        case "list_flatten" | "list_flatten_int":
            depth = args[1] if len(args) > 1 else 1
            return 11 + size(args[0]) * depth
        case "list_distinct":
            return _self_compare(args[0])
    if overload.startswith("list_") and overload.endswith(("_sort", "_sortByAssociatedKeys")):
        return _self_compare(args[-1])
    return None


def _self_compare(items: Any) -> int:
    is_text = isinstance(items, list) and bool(items) and isinstance(items[0], str | bytes)
    return 11 + int(size(items) ** 2 * (2 + TRAVERSAL if is_text else 2.0))


_BY_ARGS: dict[str, Callable[[list[Any]], int]] = {
    **dict.fromkeys(SCANS, lambda args: _walk(args[0])),
    **dict.fromkeys(_TRAVERSED, lambda args: _traversal(size(args[0]))),
    **dict.fromkeys(_TWICE, lambda args: _traversal(size(args[0]), 2)),
    **dict.fromkeys(("find", "findAll"), lambda args: _pattern(size(args[0]), size(args[1]))),
    "validate": _validation,
}
_BY_OVERLOAD: dict[str, Callable[[list[Any]], int]] = {
    **dict.fromkeys(_TRAVERSALS, lambda args: _traversal(size(args[0]))),
    **dict.fromkeys(COMPARISONS, lambda args: _traversal(min(size(args[0]), size(args[1])))),
    **dict.fromkeys(
        ("add_string", "add_bytes"), lambda args: _traversal(size(args[0]) + size(args[1]))
    ),
    "in_list": lambda args: size(args[1]),
    "matches_string": lambda args: _pattern(size(args[0]), size(args[1])),
    "contains_string": lambda args: _traversal(size(args[0])) * _traversal(size(args[1])),
}


def _standard(overload: str, args: list[Any]) -> int:
    return _BY_OVERLOAD[overload](args) if overload in _BY_OVERLOAD else 1
