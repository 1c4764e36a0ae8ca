"""Kubernetes' CEL functions in Python: what each name declared in environment.yaml does.

Arguments are checked at run time, because device attributes are untyped: a TypeError becomes CEL's
"no such overload", a ValueError any other evaluation error with its own text. cel-expr-python 0.1.3 never
frees the arguments of such a call (measured: about 1.3 kB); whoever evaluates in bulk keeps the verdicts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydra_core.quantity import NANO, Quantity, QuantityError, from_int, parse
from pydra_testbed.cel import formats, lists, network, regexes, texts, urls, values
from pydra_testbed.cel import semver as versions


@dataclass(frozen=True, slots=True)
class Function:
    """One run-time function: several overloads of one name share it when their arity is the same.

    `first` is the kind of the first argument (`list`, or a message type) where extensions of the evaluator
    have functions of that name for other kinds.
    """

    name: str
    arity: int
    is_member: bool
    call: Callable[..., Any]
    first: str = ""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError("no such overload")


def quantity(text: Any) -> Any:
    """`quantity(string)`."""
    return values.quantity_message(parse(_text(text)))


def is_quantity(text: Any) -> bool:
    """`isQuantity(string)`."""
    try:
        parse(_text(text))
    except QuantityError:
        return False
    return True


def _amount(value: Any) -> Quantity:
    if isinstance(value, int) and not isinstance(value, bool):
        return from_int(value)
    return values.to_quantity(value)


def _add(left: Any, right: Any) -> Any:
    return values.quantity_message(values.to_quantity(left) + _amount(right))


def _sub(left: Any, right: Any) -> Any:
    return values.quantity_message(values.to_quantity(left) - _amount(right))


def _as_integer(value: Any) -> int:
    whole = values.to_quantity(value).as_int64()
    if whole is None:
        raise ValueError("cannot convert value to integer")
    return whole


def _is_integer(value: Any) -> bool:
    return values.to_quantity(value).as_int64() is not None


def _as_float(value: Any) -> float:
    return values.to_quantity(value).nano / NANO


def _sign(value: Any) -> int:
    return values.to_quantity(value).sign()


def quantity_equals(left: Any, right: Any) -> bool:
    """`==` on quantities: by value, whatever the spelling."""
    return values.to_quantity(left) == values.to_quantity(right)


def _compare(left: Any, right: Any) -> int:
    if isinstance(left, values.SemverMessage):
        return values.to_semver(left).compare(values.to_semver(right))
    mine, other = values.to_quantity(left), values.to_quantity(right)
    return (mine > other) - (mine < other)


def semver(text: Any, tolerant: Any = False) -> Any:  # noqa: FBT002 -- the signature is Kubernetes'
    """`semver(string)` and `semver(string, bool)`."""
    plain = versions.normalize(_text(text)) if tolerant else _text(text)
    return values.semver_message(versions.parse_semver(plain))


def is_semver(text: Any, tolerant: Any = False) -> bool:  # noqa: FBT002 -- the signature is Kubernetes'
    """`isSemver(string)` and `isSemver(string, bool)`."""
    try:
        semver(text, tolerant)
    except versions.SemverError:
        return False
    return True


def _part(index: int) -> Callable[[Any], int]:
    def part(value: Any) -> int:
        number = values.to_semver(value).numbers[index]
        # Go converts uint64 to int64 and lets it wrap.
        return number - 2**64 if number >= 2**63 else number

    return part


def semver_equals(left: Any, right: Any) -> bool:
    """`version == other`: an error unless the other is a version too."""
    return values.to_semver(left) == values.to_semver(right)


QUANTITY_EQUALS = "kubernetes.quantityEquals"
SEMVER_EQUALS = "kubernetes.semverEquals"
UNKNOWN_TYPE = "kubernetes.unknownType"
OWN_TEXTS = {("charAt", 1), ("indexOf", 2), ("substring", 1), ("substring", 2)}
"""Methods, by name and arguments, that go to `kubernetes.<name>` instead of the evaluator's."""


def _unknown_type(name: str) -> Any:
    """Kubernetes' own types have names for the checker, but no selector can make a value of them."""
    raise ValueError(f"unknown type '{name}'")


def _map_insert(mapping: Any, *rest: Any) -> dict[Any, Any]:
    """What `transformMap` and its like add an entry with."""
    new = rest[0] if len(rest) == 1 else {rest[0]: rest[1]}
    if twice := [key for key in new if key in mapping]:
        raise ValueError(f"insert failed: key {twice[0]} already exists")
    return {**mapping, **new}


_VALUES = (
    Function("quantity", 1, False, quantity),
    Function("isQuantity", 1, False, is_quantity),
    Function("sign", 1, False, _sign),
    Function("isInteger", 1, True, _is_integer),
    Function("asInteger", 1, True, _as_integer),
    Function("asApproximateFloat", 1, True, _as_float),
    Function("add", 2, True, _add),
    Function("sub", 2, True, _sub),
    Function("isLessThan", 2, True, lambda left, right: _compare(left, right) < 0),
    Function("isGreaterThan", 2, True, lambda left, right: _compare(left, right) > 0),
    Function("compareTo", 2, True, _compare),
    Function("semver", 1, False, semver),
    Function("semver", 2, False, semver),
    Function("isSemver", 1, False, is_semver),
    Function("isSemver", 2, False, is_semver),
    Function("major", 1, True, _part(0)),
    Function("minor", 1, True, _part(1)),
    Function("patch", 1, True, _part(2)),
    Function("sum", 1, True, lists.total),
    Function("isSorted", 1, True, lists.is_sorted),
    Function("min", 1, True, lists.extreme("min", min)),
    Function("max", 1, True, lists.extreme("max", max)),
    Function("indexOf", 2, True, lists.index_of, first="list"),
    Function("lastIndexOf", 2, True, lists.last_index_of, first="list"),
    Function("includes", 2, True, lists.includes),
    Function("find", 2, True, regexes.find),
    Function("findAll", 2, True, regexes.find_all),
    Function("findAll", 3, True, regexes.find_all),
    Function("kubernetes.charAt", 2, True, texts.char_at),
    Function("kubernetes.indexOf", 3, True, texts.index_of),
    Function("kubernetes.substring", 2, True, texts.substring),
    Function("kubernetes.substring", 3, True, texts.substring),
    Function(UNKNOWN_TYPE, 1, False, _unknown_type),
    Function("cel.@mapInsert", 2, False, _map_insert),
    Function("cel.@mapInsert", 3, False, _map_insert),
    Function(QUANTITY_EQUALS, 2, False, quantity_equals),
    Function(SEMVER_EQUALS, 2, False, semver_equals),
)

_NETWORK = (
    Function("ip", 1, False, network.ip),
    Function("isIP", 1, False, network.is_ip),
    Function("ip.isCanonical", 1, False, network.is_canonical),
    Function("family", 1, True, network.family),
    Function("isUnspecified", 1, True, network.is_unspecified),
    Function("isLoopback", 1, True, network.is_loopback),
    Function("isLinkLocalMulticast", 1, True, network.is_link_local_multicast),
    Function("isLinkLocalUnicast", 1, True, network.is_link_local_unicast),
    Function("isGlobalUnicast", 1, True, network.is_global_unicast),
    Function("cidr", 1, False, network.cidr),
    Function("isCIDR", 1, False, network.is_cidr),
    Function("containsIP", 2, True, network.contains_ip),
    Function("containsCIDR", 2, True, network.contains_cidr),
    Function("ip", 1, True, network.ip_of),
    Function("masked", 1, True, network.masked),
    Function("prefixLength", 1, True, network.prefix_length),
    Function("string", 1, False, network.text_of, first="net.IP"),
    Function("url", 1, False, urls.url),
    Function("isURL", 1, False, urls.is_url),
    Function("getScheme", 1, True, urls.scheme),
    Function("getHost", 1, True, urls.host),
    Function("getHostname", 1, True, urls.hostname),
    Function("getPort", 1, True, urls.port),
    Function("getEscapedPath", 1, True, urls.escaped_path),
    Function("getQuery", 1, True, urls.query),
)

_FORMATS = (
    Function("format.named", 1, False, formats.named),
    Function("validate", 2, True, formats.validate),
    *(Function(f"format.{name}", 0, False, formats.constant(name)) for name in formats.FORMATS),
)

FUNCTIONS = (*_VALUES, *_NETWORK, *_FORMATS)
