"""Values while an expression is metered, and what operators make of them: CEL's arithmetic, order and equality.

Errors are values here (`Problem`), as in cel-go: what follows an error is still looked at, and costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydra_testbed.cel import functions
from pydra_testbed.cel.values import QuantityMessage, SemverMessage

NO_OVERLOAD = "no such overload"
_INT, _UINT = (-(2**63), 2**63 - 1), (0, 2**64 - 1)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error, as a value."""

    text: str


class Uint(int):
    """An unsigned number; equal to the signed number of the same value, as in CEL."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Optional:
    """`optional.of(value)`, or `optional.none()` without `present`."""

    value: Any = None
    present: bool = True


@dataclass(frozen=True, slots=True)
class TypeName:
    """What `type()` gives."""

    name: str


NONE = Optional(present=False)
REFUSED = Problem(NO_OVERLOAD)


def is_number(value: Any) -> bool:
    """Whether a value is a number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(left: Any, right: Any) -> Any:
    """`==`; only a version on the left can make it fail."""
    if isinstance(left, SemverMessage):
        return left == right if isinstance(right, SemverMessage) else REFUSED
    if isinstance(left, QuantityMessage) and isinstance(right, QuantityMessage):
        return functions.quantity_equals(left, right)
    if is_number(left) or is_number(right):
        return is_number(left) and is_number(right) and left == right
    return _equal_parts(left, right)


def _equal_parts(left: Any, right: Any) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return len(left) == len(right) and all(
            (found := look_up(right, key)) is not None and same(value, found.value)
            for key, value in left.items()
        )
    if isinstance(left, Optional) and isinstance(right, Optional):
        return left.present == right.present and (not left.present or same(left.value, right.value))
    return type(left) is type(right) and bool(left == right)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal, an error counting as no."""
    return equal(left, right) is True


def look_up(mapping: Mapping[Any, Any], key: Any) -> Optional | None:
    """The entry of a map; numbers of different types find each other, True and 1 do not."""
    if isinstance(key, str):
        return Optional(mapping[key]) if key in mapping else None
    return next((Optional(value) for known, value in mapping.items() if same(known, key)), None)


def compare(operator: str, decide: Callable[[int], bool]) -> Callable[[Any, Any], Any]:
    """`<` and its like, from a decision about -1, 0 and 1."""

    def ordered(left: Any, right: Any) -> Any:
        if is_number(left) and is_number(right):
            if math.isnan(left) or math.isnan(right):
                return False
        elif type(left) is not type(right) or not isinstance(
            left, str | bytes | bool | datetime | timedelta
        ):
            is_known = isinstance(left, str | bytes | bool | datetime | timedelta | int | float)
            return REFUSED if is_known else Problem(f"{NO_OVERLOAD}: {operator}")
        return decide((left > right) - (left < right))

    return ordered


def _whole(compute: Callable[[int, int], int]) -> Callable[[Any, Any], Any]:
    """Arithmetic on two numbers of one type, refused outside of 64 bits."""

    def calculate(left: Any, right: Any) -> Any:
        if not is_number(left) or type(left) is not type(right):
            return REFUSED
        try:
            result = compute(left, right)
        except ZeroDivisionError as problem:
            return Problem(str(problem))
        return _fitting(result, left)

    return calculate


def _fitting(result: Any, like: Any) -> Any:
    if isinstance(like, float):
        return float(result)
    least, most = _UINT if isinstance(like, Uint) else _INT
    if least <= result <= most:
        return type(like)(result)
    return Problem("unsigned integer overflow" if isinstance(like, Uint) else "integer overflow")


def add(left: Any, right: Any) -> Any:
    """`+`."""
    if type(left) in {str, bytes, list} and type(left) is type(right):
        return left + right
    if isinstance(left, datetime | timedelta) and isinstance(right, datetime | timedelta):
        both = isinstance(left, datetime) and isinstance(right, datetime)
        return REFUSED if both else left + right  # type: ignore[operator]  # dates and spans, as just checked
    return _whole(lambda a, b: a + b)(left, right)


def subtract(left: Any, right: Any) -> Any:
    """`-` of two."""
    if isinstance(left, datetime | timedelta) and isinstance(right, datetime | timedelta):
        wrong = isinstance(left, timedelta) and isinstance(right, datetime)
        return REFUSED if wrong else left - right  # type: ignore[operator]  # dates and spans, as just checked
    return _whole(lambda a, b: a - b)(left, right)


def _divide(left: Any, right: Any) -> Any:
    if isinstance(left, float):
        return _quotient(left, right)
    if right == 0:
        raise ZeroDivisionError("division by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _quotient(left: float, right: float) -> float:
    if right:
        return left / right
    return (
        math.nan
        if left == 0 or math.isnan(left)
        else math.copysign(math.inf, left * right or right)
    )


def _modulo(left: Any, right: Any) -> Any:
    if right == 0:
        raise ZeroDivisionError("modulus by zero")
    return int(math.copysign(1, left)) * (abs(left) % abs(right))


def negate(value: Any) -> Any:
    """`-` of one."""
    if not is_number(value) or isinstance(value, Uint):
        return REFUSED
    return _fitting(-value, value)


def contains(item: Any, container: Any) -> Any:
    """`in`."""
    if isinstance(container, list):
        return any(same(item, other) for other in container)
    if isinstance(container, Mapping):
        return look_up(container, item) is not None
    return REFUSED


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "_==_": equal,
    "_!=_": lambda left, right: not same(left, right),
    "_<_": compare("_<_", lambda order: order < 0),
    "_<=_": compare("_<=_", lambda order: order <= 0),
    "_>_": compare("_>_", lambda order: order > 0),
    "_>=_": compare("_>=_", lambda order: order >= 0),
    "_+_": add,
    "_-_": subtract,
    "_*_": _whole(lambda a, b: a * b),
    "_/_": _whole(_divide),
    "_%_": _whole(_modulo),
    "@in": contains,
}
UNARY: dict[str, Callable[[Any], Any]] = {
    "!_": lambda value: not value if isinstance(value, bool) else REFUSED,
    "-_": negate,
}
