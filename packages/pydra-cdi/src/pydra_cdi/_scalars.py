"""What a YAML 1.1 scalar means to the reference library, and how it prints a number that belongs into text.

`_coerce` and `_members` ask it. The rules are those of Go's yaml.v2: words for booleans and null, integers in
five notations, no sexagesimal numbers, dates left as text, and floats printed with 32 bits.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Iterator
from datetime import date
from decimal import ROUND_UP, Context, Decimal
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | None

_CORE = "tag:yaml.org,2002:"
MERGE_TAG = f"{_CORE}merge"
_NO_TAG = frozenset({"", "!", f"{_CORE}str"})
_BINARY = f"{_CORE}binary"
_TYPED = frozenset(f"{_CORE}{name}" for name in ("bool", "int", "float", "null", "timestamp"))
_WORDS: dict[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(
        ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"], True
    ),
    **dict.fromkeys(
        ["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"], False
    ),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_BASES = (16, 2, 8, 10)
_MOST_DIGITS = 64  # of a number below 2**64, in the longest notation
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DOTTED = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
_TIME = r"([01]?\d|2[0-3]):([0-5]?\d):([0-5]?\d)(?:[.,]\d+)?"
_TIMESTAMP = re.compile(
    rf"(\d{{4}})-(\d\d?)-(\d\d?)(?:[Tt]{_TIME}(?:Z|[-+]\d\d:\d\d)| {_TIME})?", re.ASCII
)
_HALF = re.compile("[\udc80-\udcff]")
_LARGEST_PLAIN_EXPONENT = 5
_SMALLEST_PLAIN_EXPONENT = -4


class ScalarError(ValueError):
    """A scalar and its explicit tag contradict each other; the message says how."""


def resolve(text: str, tag: str, *, plain: bool) -> Value:
    """Give a scalar its value.

    Raises:
        ScalarError: Its tag names a type that its text is not.
    """
    if tag in _TYPED:
        return _typed(text, tag.removeprefix(_CORE))
    if tag == _BINARY:
        return _decoded(text)
    return _resolve_plain(text) if plain and not tag else text


def is_ignored(tag: str) -> bool:
    """Tell whether a tag on a scalar means nothing to the reference library, which then takes the text."""
    return not (tag in _NO_TAG or tag in _TYPED or tag in {_BINARY, MERGE_TAG})


def _typed(text: str, name: str) -> Value:
    value = _resolve_plain(text)
    match name:
        case "null" if value is None:
            return None
        case "bool" if isinstance(value, bool):
            return value
        case "int" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "float" if isinstance(value, float):
            return value
        case "float" if isinstance(value, int) and not isinstance(value, bool) and value < 2**63:
            return float(value)
        case "timestamp" if _is_timestamp(text):
            return text
        case _:
            raise ScalarError(f"{text[:40]!r} is not what its tag !!{name} says")


def _decoded(text: str) -> str:
    try:
        data = base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ScalarError(f"{text[:40]!r} is not base64, as its tag !!binary says") from error
    return _HALF.sub("\ufffd", data.decode(errors="surrogateescape"))


def _resolve_plain(text: str) -> Value:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == ".":
        return _finite(text.replace("_", ""), text) if _DOTTED.fullmatch(text) else text
    if text[0] not in "+-0123456789":
        return text
    bare = text.replace("_", "")
    if (number := _integer(bare)) is not None:
        return number
    return _finite(bare, text) if _FLOAT.fullmatch(bare) else text


def _integer(text: str) -> int | None:
    if not (found := _INTEGER.fullmatch(text)):
        return None
    sign, *notations = found.groups()
    digits, base = next((d, b) for d, b in zip(notations, _BASES, strict=True) if d is not None)
    digits = digits.lstrip("0") or "0"
    if len(digits) > _MOST_DIGITS:
        return None
    number = int(sign + digits, base)
    return number if -(2**63) <= number < (2**63 if sign else 2**64) else None


def _finite(bare: str, text: str) -> float | str:
    number = float(bare)
    return text if math.isinf(number) else number


def _is_timestamp(text: str) -> bool:
    if not (found := _TIMESTAMP.fullmatch(text)):
        return False
    try:
        date(
            int(found[1]) or 4, int(found[2]), int(found[3])
        )  # Go has a year 0, a leap year like 4
    except ValueError:
        return False
    return True


def number_text(value: float) -> str:
    """Print a number or a boolean as the reference library does where text belongs."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case _:
            return _float_text(_to_32_bits(value))


def key_text(value: float) -> str:
    """Print a number or a boolean that is the key of a mapping: as `number_text`, but for infinities and NaN."""
    text = number_text(value)
    return {"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"}.get(text, text)


def _to_32_bits(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    shortest = next(text for text in _roundings(value) if _to_32_bits(float(text)) == value)
    exponent = int(shortest.rpartition("e")[2])
    if _SMALLEST_PLAIN_EXPONENT <= exponent <= _LARGEST_PLAIN_EXPONENT:
        return f"{Decimal(shortest):f}"
    return shortest


def _roundings(value: float) -> Iterator[str]:
    """Yield ever more digits of a 32-bit float; nine always tell it from its neighbours."""
    digits = 0
    while True:
        yield f"{value:.{digits}e}"
        # Above a power of two floats lie twice as far apart, so there the digits rounded up may do earlier.
        yield f"{Context(digits + 1, ROUND_UP).create_decimal(value):.{digits}e}"
        digits += 1
