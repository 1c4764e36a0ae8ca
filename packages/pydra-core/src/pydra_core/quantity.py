"""Kubernetes quantities as exact values: what the API server stores, CEL compares and the allocator subtracts.

Values are whole numbers of nano-units (1e-9), the finest step a quantity can hold. The spelling follows
`resource.Quantity`: which inputs keep their text, which become canonical, what is rounded and capped.
Used by the publisher (is a slice changed?) and by the testbed (validation, CEL, allocation).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

NANO = 10**9
MAX_INT64 = 2**63 - 1
_MOST_DIGITS = 18
_LONGEST_EXPONENT = 4
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {
    "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_SHAPE = re.compile(
    r"(?P<sign>[+-]?)0*(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?"
    r"(?P<suffix>[eEinumkKMGTP]*[-+]?[0-9]*)"
)


class QuantityError(ValueError):
    """The text is no quantity; the message is the API server's."""


class Format(Enum):
    """How a value is spelled again."""

    BINARY = "BinarySI"
    DECIMAL = "DecimalSI"
    EXPONENT = "DecimalExponent"


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """An exact amount; two quantities are equal when their values are, whatever their spelling.

    `scale` is the decimal exponent of the 64-bit form that Go holds the value in, None when Go needs a
    big number; it decides `as_int64` and nothing else.
    """

    nano: int
    format: Format = field(default=Format.DECIMAL, compare=False)
    text: str = field(default="", compare=False)
    scale: int | None = field(default=0, compare=False)

    def __str__(self) -> str:
        return self.text or _canonical(self)

    def value(self) -> int:
        """The whole number, rounded away from zero as `Quantity.Value()` does."""
        whole = -(-abs(self.nano) // NANO)
        return whole if self.nano >= 0 else -whole

    def as_int64(self) -> int | None:
        """The value when Go's `AsInt64` gives one: 64-bit form, no fraction kept (`1000m` has none)."""
        if self.scale is None or self.scale < 0:
            return None
        whole = self.nano // NANO
        return whole if -MAX_INT64 - 1 <= whole <= MAX_INT64 else None

    def is_zero(self) -> bool:
        return self.nano == 0

    def sign(self) -> int:
        """-1, 0 or 1."""
        return (self.nano > 0) - (self.nano < 0)

    def __add__(self, other: Quantity) -> Quantity:
        if self.nano == 0:
            return Quantity(other.nano, other.format, "", other.scale)
        nano = self.nano + other.nano
        return Quantity(nano, self.format, "", _common_scale(self, other, nano))

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.format, "", self.scale)

    def __sub__(self, other: Quantity) -> Quantity:
        return self + (-other)


def from_int(value: int, style: Format = Format.DECIMAL) -> Quantity:
    """The quantity of a whole number."""
    return Quantity(value * NANO, style, "", 0 if abs(value) <= MAX_INT64 else None)


ZERO = from_int(0)


@lru_cache(maxsize=4096)
def parse(text: str) -> Quantity:
    """Read a quantity.

    Raises:
        QuantityError: the text has a shape or suffix that Kubernetes refuses, or an exponent beyond 9999
            (which Kubernetes accepts and cannot use).
    """
    match = _SHAPE.fullmatch(text)
    if match is None or not text:
        raise QuantityError(
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    if text == "0":
        return Quantity(0, Format.DECIMAL, text)
    whole, fraction = match["whole"] or "0", match["fraction"] or ""
    base, exponent, style = _suffix(match["suffix"])
    number = _Number(match["sign"] == "-", whole, fraction, base, exponent, style)
    small = _compact(text, number)
    return _exact(number) if small is None else small


@dataclass(frozen=True, slots=True)
class _Number:
    """A scanned quantity: sign, digits, and the power of two or ten that the suffix stands for."""

    negative: bool
    whole: str
    fraction: str
    base: int
    exponent: int
    style: Format

    @property
    def digits(self) -> str:
        return self.whole + self.fraction


def _suffix(text: str) -> tuple[int, int, Format]:
    if text in _DECIMAL:
        return 10, _DECIMAL[text], Format.DECIMAL
    if text in _BINARY:
        return 2, _BINARY[text], Format.BINARY
    exponent = re.fullmatch(r"[eE]([+-]?[0-9]+)", text)
    if exponent is None:
        raise QuantityError("unable to parse quantity's suffix")
    if len(exponent[1].lstrip("+-0")) > _LONGEST_EXPONENT:
        raise QuantityError("unable to parse numeric part of quantity")
    return 10, int(exponent[1]), Format.EXPONENT


def _compact(text: str, number: _Number) -> Quantity | None:
    """The 64-bit form; only such values may keep the spelling they came with."""
    digits = int(number.digits)
    if number.base == 2:  # noqa: PLR2004 -- the base itself
        room = 14 - len(number.whole) - number.exponent * 3 // 10
        if number.fraction or room < 0:
            return None
        nano, scale = (digits << number.exponent) * NANO, 0
        canonical = digits & 7 != 0
    else:
        scale = number.exponent - len(number.fraction)
        if len(number.digits) > _MOST_DIGITS or scale < _DECIMAL["n"]:
            return None
        nano = digits * 10 ** (scale + 9)
        zeros = number.digits.startswith("0") or number.digits.endswith("000")
        canonical = scale % 3 == 0 and not zeros
    signed = -nano if number.negative else nano
    return Quantity(signed, number.style, text if canonical else "", scale)


def _exact(number: _Number) -> Quantity:
    """The big form: rounded up to one nano, binary values capped at the largest int64."""
    digits = int(number.digits)
    style = number.style
    if number.base == 2:  # noqa: PLR2004 -- the base itself
        nano = _divide_up((digits << number.exponent) * NANO, 10 ** len(number.fraction))
        nano = min(nano, MAX_INT64 * NANO)
        style = Format.DECIMAL if 0 < nano < NANO else style
    else:
        power = number.exponent - len(number.fraction) + 9
        nano = digits * 10**power if power >= 0 else _divide_up(digits, 10**-power)
    return Quantity(-nano if number.negative else nano, style, "", None)


def _divide_up(value: int, divisor: int) -> int:
    return -(-value // divisor)


def _common_scale(left: Quantity, right: Quantity, nano: int) -> int | None:
    if right.nano == 0:
        return left.scale
    if left.scale is None or right.scale is None:
        return None
    scale = min(left.scale, right.scale)
    return scale if abs(nano) <= MAX_INT64 * 10 ** (scale + 9) else None


def _canonical(quantity: Quantity) -> str:
    if quantity.nano == 0:
        return "0"
    whole, rest = divmod(abs(quantity.nano), NANO)
    binary = quantity.format is Format.BINARY and rest == 0 and whole >= 1024  # noqa: PLR2004 -- 1Ki
    body = _binary_text(whole) if binary else _decimal_text(quantity)
    return f"-{body}" if quantity.nano < 0 else body


def _binary_text(whole: int) -> str:
    shift = 0
    while whole % 1024 == 0 and shift < _BINARY["Ei"]:
        whole //= 1024
        shift += 10
    suffix = next((name for name, bits in _BINARY.items() if bits == shift), "")
    return f"{whole}{suffix}"


def _decimal_text(quantity: Quantity) -> str:
    """The shortest mantissa with an exponent that is a multiple of three."""
    amount, exponent = abs(quantity.nano), -9
    exponential = quantity.format is Format.EXPONENT
    while amount % 1000 == 0 and (exponential or exponent < _DECIMAL["E"]):
        amount //= 1000
        exponent += 3
    if exponential:
        return f"{amount}e{exponent}" if exponent else str(amount)
    return f"{amount}{_DECIMAL_SUFFIX[exponent]}"
