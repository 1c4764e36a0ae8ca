"""A selector cut into the parts that must all hold, each as text of its own.

CEL is cut by its tokens, not by its tree: the parts are shown to the person who wrote them. Strings, comments
and brackets of every kind are respected; what cannot be cut safely stays whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_RAW = (
    r"(?:[rR][bB]?|[bB][rR])"
    r"(?:'{3}[\s\S]*?'{3}|\"{3}[\s\S]*?\"{3}|'[^'\n]*'|\"[^\"\n]*\")"
)
_ESCAPED = (
    r"[bB]?(?:'{3}(?:\\[\s\S]|[^\\])*?'{3}|\"{3}(?:\\[\s\S]|[^\\])*?\"{3}"
    r"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")"
)
_TOKEN = re.compile(
    rf"(?P<space>\s+|//[^\n]*)|(?P<string>{_RAW}|{_ESCAPED})"
    r"|(?P<word>[A-Za-z_]\w*|\d[\w.]*)|(?P<operator>&&|\|\||\.\?|\[\?|[=!<>]=|.)",
    re.DOTALL,
)
_OPENING, _CLOSING = frozenset({"(", "[", "{", "[?"}), frozenset({")", "]", "}"})
_SIGNS = frozenset({"-"})
_LOOSER = frozenset({"||", "?"})
_BINARY = frozenset(
    ["&&", "||", "==", "!=", "<", "<=", ">", ">=", "?", ":", "+", "-", "*", "/", "%"]
)
_KEY = r"""\[(?:"[^"\\]*"|'[^'\\]*')\]"""
_NAME = r"""\[["'](?P<name>[A-Za-z_]\w*)["']\]"""
_PATH = re.compile(rf"device\.(?:attributes|capacity){_KEY}(?:\.(?=[A-Za-z_])|{_NAME})")


def conjuncts(expression: str) -> tuple[str, ...]:
    """The parts joined by `&&` outside of all brackets, spelled on one line each."""
    return tuple(_spell(part) for part in _split(tokens_of(expression)))


def tokens_of(expression: str) -> list[str]:
    """The tokens without white space and comments."""
    return [m[0] for m in _TOKEN.finditer(expression) if m.lastgroup != "space"]


def shorten(expression: str) -> str:
    """Leave out where attributes live: `device.attributes["acme.example"].model` becomes `model`."""
    spelled = _spell(tokens_of(expression))
    return _PATH.sub(lambda match: match["name"] or "", spelled)


def _split(tokens: Sequence[str]) -> list[Sequence[str]]:
    while _is_wrapped(tokens):
        tokens = tokens[1:-1]
    depths = _depths(tokens)
    top = [token for token, depth in zip(tokens, depths, strict=True) if depth == 0]
    if "&&" not in top or _LOOSER & set(top):
        return [tokens]
    parts: list[Sequence[str]] = []
    start = 0
    for place, (token, depth) in enumerate(zip(tokens, depths, strict=True)):
        if token == "&&" and depth == 0:  # noqa: S105 - an operator, no secret
            parts += _split(tokens[start:place])
            start = place + 1
    return [*parts, *_split(tokens[start:])]


def _depths(tokens: Iterable[str]) -> list[int]:
    """How deep in brackets each token stands; brackets themselves count as inside."""
    depth, found = 0, []
    for token in tokens:
        depth += token in _OPENING
        found.append(depth)
        depth -= token in _CLOSING
    return found


def _is_wrapped(tokens: Sequence[str]) -> bool:
    """Whether one pair of parentheses encloses everything."""
    if not tokens or tokens[0] != "(" or tokens[-1] != ")":
        return False
    return all(depth > 0 for depth in _depths(tokens))


def _spell(tokens: Sequence[str]) -> str:
    """Tokens as people space them."""
    text = ""
    for place, token in enumerate(tokens):
        before = tokens[max(place - 2, 0) : place]
        text += f" {token}" if before and _is_apart(before, token) else token
    return text


def _is_apart(before: Sequence[str], token: str) -> bool:
    """Whether a space belongs between the last of one or two tokens and the next."""
    last = before[-1]
    if last == "," or "in" in (last, token):
        return True
    if last in _SIGNS and (len(before) == 1 or not _ends_value(before[0])):
        return False
    if last in _BINARY or token in _BINARY:
        return True
    return _is_word(last) and _is_word(token)


def _ends_value(token: str) -> bool:
    return _is_word(token) or token in _CLOSING


def _is_word(token: str) -> bool:
    return token[0].isalnum() or token[0] in "_\"'"
