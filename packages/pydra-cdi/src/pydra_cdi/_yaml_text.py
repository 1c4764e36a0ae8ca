"""Plain data to YAML, laid out and quoted as the reference library's encoder does; `_reference_text` calls it.

Text is left plain only where every YAML reader, of 1.1 or 1.2, reads it back as the same text.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from typing import Any

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

_INDENT = 4
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


class _Emitter(Emitter):
    """PyYAML's emitter with the reference's indentation."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's signature
        self.indents.append(self.indent)
        if self.indent is None:
            self.indent = 0
        elif self.states[-1] == self.expect_block_sequence_item:
            self.indent += _INSIDE_A_SEQUENCE
        else:
            self.indent = (self.indent // _INDENT + 1) * _INDENT


def write_yaml(document: dict[str, Any]) -> str:
    """Write mappings, lists, text, integers and booleans as one YAML document."""
    stream = io.StringIO()
    emitter = _Emitter(stream, indent=_INDENT, width=sys.maxsize, allow_unicode=True)
    for event in _events(document):
        emitter.emit(event)
    return stream.getvalue()


def _events(document: dict[str, Any]) -> Iterator[Event]:
    yield StreamStartEvent()
    yield DocumentStartEvent(explicit=True)
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


def _scalar(value: str | int) -> ScalarEvent:
    if not isinstance(value, str):
        text = str(value).lower()  # Python spells its booleans with a capital
        return ScalarEvent(None, None, (True, True), text)
    style = '"' if _NOT_PLAIN.fullmatch(value) else None
    return ScalarEvent(None, None, (True, True), value, style=style)
