"""Regular expressions that mean the same to Python, to CEL's RE2 and to JSON Schema's ECMA-262.

Engines differ in look-around, back references, Unicode classes and the meaning of `$` before a line break. What
they share is enough for names and sizes; the rest is refused when a policy or schema is asked for.
"""

from __future__ import annotations

import re
from functools import lru_cache

_ESCAPES = frozenset("dwDW") | frozenset(r"\.[]{}()*+?|^$/-")
_TOKEN = re.compile(
    r"""
      \\(?P<escape>.)
    | \[\^?(?P<members>(?:\\.|[^\]\\])*)\]
    | \((?P<group>\?:|(?!\?))
    | \{(?P<least>\d{1,4})(?:,(?P<most>\d{0,4}))?\}
    | [^\\\[\]{}(]
    """,
    re.VERBOSE | re.DOTALL,
)
_CLASS = re.compile(r"\[[^\]]*\]")
_MOST = 1000


def problem(pattern: str) -> str:
    """Why the engines would not agree on a pattern; empty if they do."""
    position = 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            return f"{pattern[position : position + 3]!r} does not mean the same everywhere"
        if why := _unshared(token):
            return why
        position = token.end()
    if re.search(r"[*+?}]\+", _CLASS.sub("x", re.sub(r"\\.", "x", pattern))):
        return "possessive repetition is not known everywhere"
    return ""


def _unshared(token: re.Match[str]) -> str:
    if token["escape"] and token["escape"] not in _ESCAPES:
        return f"\\{token['escape']} does not mean the same everywhere"
    members = token["members"]
    if members == "":
        return "a character class does not mean the same everywhere"
    members = members or ""
    if {"[", "&&", "--", "~~", "||"} & {
        members[i : i + n] for i in range(len(members)) for n in (1, 2)
    }:
        return "a character class does not mean the same everywhere"
    for escaped in re.findall(r"\\(.)", members):
        if escaped not in _ESCAPES - frozenset("DW"):
            return f"\\{escaped} in a character class does not mean the same everywhere"
    if max(int(token["least"] or 0), int(token["most"] or 0)) > _MOST:
        return f"it repeats more than {_MOST} times"
    return ""


def found(pattern: str, text: str) -> bool:
    """Whether the pattern is found in the text, as RE2 would tell: `$` is the end, classes are ASCII."""
    return _compiled(pattern).search(text) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    strict = re.sub(r"(\\.|\[(?:\\.|[^\]\\])*\])|\$", lambda m: m[1] or r"\Z", pattern)
    return re.compile(strict, re.ASCII)
