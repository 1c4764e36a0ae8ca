"""Members of a mapping as the reference library sees them: merged, never twice, with keys as text, names folded.

`_coerce` reads fields with it, `_locate` finds them, `_yaml` makes ordinary data of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from pydra_cdi._nodes import Items, Node, Pairs, Scalar
from pydra_cdi._scalars import MERGE_TAG, ScalarError, Value, key_text, resolve
from pydra_cdi.errors import UnreadableError, shown

_UNSIGNED = 2**63  # from here on a number is of a type that the library knows no text for
# Letter case plays no part in the name of a field, nor do the two characters that Unicode folds to ASCII letters.
_FOLDING = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)} | {
    ord("\N{KELVIN SIGN}"): ord("k"),
    ord("\N{LATIN SMALL LETTER LONG S}"): ord("s"),
}


@dataclass(frozen=True, slots=True)
class Member:
    """One member: its key as text, the key as written, the value."""

    name: str
    key: Scalar
    value: Node


def fold(name: str) -> str:
    """Give the spelling under which a field's names are equal."""
    return name.translate(_FOLDING)


def members(pairs: Pairs) -> list[Member]:
    """Give the members in the order of the text.

    Raises:
        UnreadableError: A key is there twice, is null, or contradicts its tag; `<<` merges no mapping.
    """
    seen: dict[str, Member] = {}
    _collect(pairs, seen)
    return list(seen.values())


def _collect(pairs: Pairs, seen: dict[str, Member]) -> None:
    for key, value in pairs.entries:
        if _is_merge(key):
            for source in _sources(key, value):
                _collect(source, seen)
            continue
        name = _name(key)
        if name in seen:
            _refuse(key, f"key {shown(name)} is there twice", "keep one of them")
        seen[name] = Member(name, key, value)


def _is_merge(key: Scalar) -> bool:
    return key.text == "<<" and (key.plain or key.tag == MERGE_TAG)


def _sources(key: Scalar, value: Node) -> Iterator[Pairs]:
    for source in value.entries if isinstance(value, Items) else [value]:
        if not isinstance(source, Pairs):
            _refuse(key, "'<<' merges something that is no mapping", "write the fields out")
        yield source


def _name(key: Scalar) -> str:
    value = scalar_value(key)
    if value is None or (isinstance(value, int) and value >= _UNSIGNED):
        _refuse(key, "a key is null or a number of 64 bits", "put it in quotes")
    return value if isinstance(value, str) else key_text(value)


def scalar_value(node: Scalar) -> Value:
    """Give a scalar its value.

    Raises:
        UnreadableError: It contradicts its tag.
    """
    try:
        return resolve(node.text, node.tag, plain=node.plain)
    except ScalarError as error:
        raise UnreadableError(str(error), "take the tag out", node.line, node.column) from error


def is_null(node: Node) -> bool:
    """Tell whether a node is null.

    Raises:
        UnreadableError: It contradicts its tag.
    """
    return isinstance(node, Scalar) and scalar_value(node) is None


def _refuse(node: Scalar, message: str, remedy: str) -> NoReturn:
    raise UnreadableError(message, remedy, node.line, node.column)
