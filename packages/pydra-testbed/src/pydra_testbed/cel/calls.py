"""Calls while an expression is metered.

Operators and optionals are computed here, Kubernetes' functions where they are written, everything else by a
small program of the evaluator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cel_expr_python import cel

from pydra_testbed.cel import errors
from pydra_testbed.cel.calculus import (
    BINARY,
    NO_OVERLOAD,
    NONE,
    REFUSED,
    UNARY,
    Optional,
    Problem,
    TypeName,
    Uint,
)
from pydra_testbed.cel.environment import calling_environment
from pydra_testbed.cel.functions import FUNCTIONS, OWN_TEXTS

_OWN = {(f.name, f.arity, f.is_member): f for f in FUNCTIONS}
_MADE_OPTIONAL = frozenset({"validate", "format.named"})
_ENDS = {"first": 0, "last": -1}
_PLAIN = {
    bool: "bool", int: "int", Uint: "uint", float: "double", str: "string", bytes: "bytes",
    list: "list", dict: "map", type(None): "null_type", Optional: "optional_type", TypeName: "type",
    datetime: "google.protobuf.Timestamp", timedelta: "google.protobuf.Duration",
}  # fmt: skip


def call(name: str, args: list[Any], *, is_member: bool) -> Any:
    """The value of a call whose operands are known; the first is the receiver of a member function."""
    if (failed := next((arg for arg in args if isinstance(arg, Problem)), None)) is not None:
        return failed
    if name in _OPERATORS and len(args) == _OPERANDS.get(name, 2):
        return _OPERATORS[name](*args)
    if (own := _OPTIONALS.get(name)) is not None and _is_about_optionals(name, args):
        return own(*args)
    return _function(name, args, is_member=is_member)


def _size(value: Any) -> Any:
    if isinstance(value, str | bytes | list | Mapping):
        return len(value)
    return Problem(f"{NO_OVERLOAD}: size")


def type_name(value: Any) -> str:
    """The name of a value's type."""
    known = next((text for kind, text in _PLAIN.items() if type(value) is kind), None)
    if known is None:
        known = "map" if isinstance(value, Mapping) else value.DESCRIPTOR.full_name
    return known


def _is_about_optionals(name: str, args: list[Any]) -> bool:
    return name.startswith("optional.") or bool(args and isinstance(args[0], Optional))


def _value_of(optional: Optional) -> Any:
    return optional.value if optional.present else Problem("optional.none() dereference")


_OPTIONALS: dict[str, Callable[..., Any]] = {
    "optional.of": Optional,
    "optional.none": lambda: NONE,
    "optional.ofNonZeroValue": lambda value: NONE if _is_zero(value) else Optional(value),
    "hasValue": lambda optional: optional.present,
    "value": _value_of,
}


def _is_zero(value: Any) -> bool:
    return value is None or value in (0, 0.0, "", b"", [], {}, timedelta())


def _function(name: str, args: list[Any], *, is_member: bool) -> Any:
    known = f"kubernetes.{name}" if (name, len(args) - 1) in OWN_TEXTS else name
    if isinstance(args[0] if args else None, list):
        known = name
        if name in _ENDS:
            return Optional(args[0][_ENDS[name]]) if args[0] else NONE
    own = _OWN.get((known, len(args), is_member))
    if own is None or not _is_of_kind(args, own.first):
        return _by_evaluator(name, args, is_member=is_member)
    try:
        result = own.call(*args)
    except TypeError:
        return REFUSED
    except ValueError as problem:
        return Problem(str(problem))
    return _OPTIONALS["optional.ofNonZeroValue"](result) if name in _MADE_OPTIONAL else result


def _is_of_kind(args: list[Any], kind: str) -> bool:
    """Whether the first operand is what a function asks for that shares its name with the evaluator's."""
    if not kind:
        return True
    return isinstance(args[0], list) if kind == "list" else hasattr(args[0], "DESCRIPTOR")


def _by_evaluator(name: str, args: list[Any], *, is_member: bool) -> Any:
    wrapped = [_wrapped(f"a{index}", arg) for index, arg in enumerate(args)]
    texts = [text for text, _ in wrapped]
    source = (
        f"{texts[0]}.{name}({', '.join(texts[1:])})" if is_member else f"{name}({', '.join(texts)})"
    )
    data = {f"a{index}": value for index, (_, value) in enumerate(wrapped)}
    try:
        result = _program(source).eval(data=data)
    except (RuntimeError, ValueError, LookupError) as problem:
        return Problem(errors.evaluation_message(str(problem)))
    if result.type() == cel.Type.ERROR:
        return Problem(errors.evaluation_message(str(result.value())))
    if result.type() == cel.Type.UINT:
        return Uint(result.value())
    value = result.plain_value()
    return bytes(value) if isinstance(value, bytearray) else value


def _wrapped(name: str, value: Any) -> tuple[str, Any]:
    """A variable and its value, for kinds of values that the evaluator cannot be handed."""
    if isinstance(value, Uint):
        return f"uint({name})", int(value)
    if isinstance(value, datetime):
        return f"timestamp({name})", value.isoformat()
    if isinstance(value, timedelta):
        return f"duration({name})", f"{value.total_seconds():f}s"
    return name, value


@cache
def _program(source: str) -> Any:
    return calling_environment().compile(source)


def _sort_by(items: Any, keys: Any) -> Any:
    """What `sortBy` becomes: a list in the order of the keys that belong to its items."""
    try:
        return [item for _, item in sorted(zip(keys, items, strict=True), key=lambda pair: pair[0])]
    except (TypeError, ValueError):
        return REFUSED


_UNARY = {
    **UNARY,
    "type": lambda value: TypeName(type_name(value)),
    "dyn": lambda value: value,
    "size": _size,
}
_OPERATORS: dict[str, Callable[..., Any]] = {
    **BINARY,
    **_UNARY,
    "@sortByAssociatedKeys": _sort_by,
}
_OPERANDS = dict.fromkeys(_UNARY, 1)
