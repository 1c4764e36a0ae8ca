"""What a YAML parser sees, before anybody asks what it means: scalars, lists and mappings with their places.

`_yaml` makes these out of text, `_coerce` turns them into the fields of a spec, `_locate` finds a field's place.
Lines and columns count from 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(slots=True)
class Scalar:
    """One scalar as written.

    Attributes:
        text: Its text, escapes and line breaks resolved.
        tag: Its tag in long form, empty without one.
        plain: It has neither quotes nor a tag, so its text decides its type.
        folded: It holds line breaks that are read as blanks where their writer may not have meant it.
    """

    line: int
    column: int
    text: str
    tag: str = ""
    plain: bool = True
    folded: bool = False


@dataclass(slots=True)
class Items:
    """A list."""

    line: int
    column: int
    tag: str = ""
    entries: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Pairs:
    """A mapping; keys may repeat and may be merge keys, in the order of the text."""

    line: int
    column: int
    tag: str = ""
    entries: list[tuple[Scalar, Node]] = field(default_factory=list)


Node: TypeAlias = Scalar | Items | Pairs
