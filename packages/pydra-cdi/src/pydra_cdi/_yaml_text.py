"""Plain data to YAML: as the reference library's encoder lays it out, or as the command line shows it.

`_reference_text` and the commands' output call it. Text is left plain only where every YAML reader, of 1.1 or 1.2,
reads it back as the same text.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from yaml import (
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from yaml.emitter import Emitter
from yaml.representer import SafeRepresenter

_INSIDE_A_SEQUENCE = 2
# What some reader takes for null, a boolean, a number, a date or a merge, and characters it folds or refuses.
_NOT_PLAIN = re.compile(
    r"""(?:
    |~|<<|=|null|Null|NULL|true|True|TRUE|false|False|FALSE
    |[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF
    |[-+]?0[xX][0-9a-fA-F_]+|[-+]?0[oO][0-7_]+|[-+]?0b[01_]+
    |[-+]?(?:\.[0-9]|[0-9])[0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?
    |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)
    |[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?
    |.*[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff].*
    )""",
    re.VERBOSE | re.DOTALL,
)


class Layout(NamedTuple):
    """How a document looks: columns of a level, whether `---` begins it, whether text is written as it is."""

    indent: int
    begins: bool
    unicode: bool


REFERENCE = Layout(indent=4, begins=True, unicode=True)
SHOWN = Layout(indent=2, begins=False, unicode=False)
"""For terminals, which some characters command: all beyond ASCII are escapes."""


class _Emitter(Emitter):
    """PyYAML's emitter with the reference's way to indent lists."""

    def __init__(self, stream: io.StringIO, layout: Layout) -> None:
        super().__init__(stream, width=sys.maxsize, allow_unicode=layout.unicode)
        self.columns = layout.indent

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's signature
        self.indents.append(self.indent)
        if self.indent is None:
            self.indent = 0
        elif self.states[-1] == self.expect_block_sequence_item:
            self.indent += _INSIDE_A_SEQUENCE
        else:
            self.indent = (self.indent // self.columns + 1) * self.columns


def write_yaml(document: Any, layout: Layout = REFERENCE) -> str:
    """Write mappings, lists, text, numbers, booleans and null as one YAML document."""
    stream = io.StringIO()
    emitter = _Emitter(stream, layout)
    for event in _events(document, layout):
        emitter.emit(event)
    return stream.getvalue()


def _events(document: Any, layout: Layout) -> Iterator[Event]:
    yield StreamStartEvent()
    yield DocumentStartEvent(explicit=layout.begins)
    yield from _value(document)
    yield DocumentEndEvent()
    yield StreamEndEvent()


def _value(value: Any) -> Iterator[Event]:
    if isinstance(value, dict):
        yield MappingStartEvent(None, None, implicit=True, flow_style=not value)
        for key, member in value.items():
            yield from _value(key)
            yield from _value(member)
        yield MappingEndEvent()
    elif isinstance(value, list):
        yield SequenceStartEvent(None, None, implicit=True, flow_style=not value)
        for item in value:
            yield from _value(item)
        yield SequenceEndEvent()
    else:
        yield _scalar(value)


def _scalar(value: str | float | None) -> ScalarEvent:
    if not isinstance(value, str):
        text = SafeRepresenter().represent_data(value).value
        return ScalarEvent(None, None, (True, True), text)
    style = '"' if _NOT_PLAIN.fullmatch(value) else None
    return ScalarEvent(None, None, (True, True), value, style=style)
