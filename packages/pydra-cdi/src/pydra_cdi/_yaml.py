"""YAML text to nodes, as the parser that runtimes use sees it: the first document, whatever follows.

PyYAML's own constructors are not used: they read `12:30` as 750 and dates as dates, keep the last of two
equal keys, and its C composer overruns the stack on deep nesting. This reads PyYAML's event stream
instead, with bounds on depth, on values and on what aliases may expand to. `_document` imports it only
when a file is not JSON that every reader reads alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from pydra_cdi._members import members, scalar_value
from pydra_cdi._nodes import Items, Node, Pairs, Scalar
from pydra_cdi.errors import UnreadableError

_MAX_DEPTH = 64
_MAX_NODES = 100_000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The reference library refuses a document when more than this share of more values than that comes from aliases.
_ALIAS_SHARE, _ALIAS_NODES, _ALIAS_FLOOR = 0.99, 1000, 100
# Each tag directive is compared with all before it, so their number is bounded before the parser sees them.
_MAX_TAG_DIRECTIVES = 100
# Legal in JSON, and what to say where the parser says only that the escape is invalid.
_SURROGATE = (
    "a surrogate is written as an escape: legal JSON, but runtimes read it as YAML 1.1 and refuse it",
    "write characters beyond U+FFFF as they are, in UTF-8",
)
_ESCAPED_HALF = re.compile(r"\\[uU](?:0000)?[dD][89a-fA-F][0-9a-fA-F]{2}")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
# Line breaks to YAML 1.1 that are characters like any other to everybody else.
_ODD_BREAKS = re.compile("[\x85\u2028\u2029]")
_RAW_MATTERS = re.compile(rb"\\/|\xc2\x85|\xe2\x80[\xa8\xa9]")


@dataclass(slots=True)
class _Anchor:
    """What an alias stands for, once it is finished, and how many values that is."""

    node: Node | None = None
    values: int = 0


@dataclass(frozen=True, slots=True)
class Composed:
    """The first document of a text; line, column and index of what follows it, which runtimes ignore."""

    root: Node
    rest: tuple[int, int, int] | None


def compose(data: bytes) -> Composed:
    """Read the first document in UTF-8 text without a byte order mark.

    Raises:
        UnreadableError: It is not YAML 1.1, or is nested or aliased or large beyond reason.
    """
    if data.count(b"\n%TAG") > _MAX_TAG_DIRECTIVES:
        message = f"it holds more than {_MAX_TAG_DIRECTIVES} tag directives"
        raise UnreadableError(message, "take them out: a spec needs none", 1, 1)
    composer = _Composer(data)
    try:
        return composer.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message, remedy = f"it is not YAML: {error.problem}", "mend it there"
        if mark and _ESCAPED_HALF.match(data.decode(errors="replace"), mark.index - 2):
            message, remedy = _SURROGATE
        raise UnreadableError(message, remedy, line, column) from error
    except yaml.reader.ReaderError as error:
        before = data[: max(error.position, 0)]
        line, column = _place(before)
        problem = f"it is not YAML: {error.reason}"
        remedy = "save it as UTF-8 and write control characters as escapes, like \\u007f"
        raise UnreadableError(problem, remedy, line, column) from error


def parse_yaml(data: bytes) -> Any:
    """Read the first document in UTF-8 text as ordinary data: for files that are no specs.

    Raises:
        UnreadableError: It is not YAML 1.1, or is nested or aliased or large beyond reason.
    """
    return _data(compose(data).root)


def _data(node: Node) -> Any:
    match node:
        case Scalar():
            return scalar_value(node)
        case Items():
            return [_data(entry) for entry in node.entries]
        case _:
            return {member.name: _data(member.value) for member in members(node)}


def _place(before: bytes) -> tuple[int, int]:
    last_line = before.rpartition(b"\n")[2]
    return before.count(b"\n") + 1, len(last_line.decode(errors="replace")) + 1


@dataclass(slots=True)
class _Composer:
    """Builds one document out of events."""

    data: bytes
    _events: Iterator[Any] = field(init=False)
    _raw: str | None = field(init=False)
    _anchors: dict[str, _Anchor] = field(default_factory=dict)
    _nodes: int = 0
    _aliased: int = 0
    _flow_depth: int = 0

    def __post_init__(self) -> None:
        self._events = yaml.parse(self.data, Loader=_LOADER)
        self._raw = self.data.decode(errors="replace") if _RAW_MATTERS.search(self.data) else None

    def document(self) -> Composed:
        next(self._events)
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            raise UnreadableError("there is no document in it", "write the spec again", 1, 1)
        if start.version not in {None, (1, 1)}:
            self._refuse(start, "runtimes read YAML 1.1 only", "take the %YAML line out")
        root = self._value(next(self._events), 0)
        end = next(self._events)
        return Composed(root, self._rest(end.end_mark))

    def _rest(self, end: Any) -> tuple[int, int, int] | None:
        try:
            after = next(self._events)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None) or end
        else:
            if isinstance(after, yaml.StreamEndEvent):
                return None
            mark = after.start_mark
        return mark.line + 1, mark.column + 1, mark.index

    def _value(self, event: Any, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            problem = f"it is nested deeper than {_MAX_DEPTH} levels"
            self._refuse(event, problem, "write the spec again")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        anchor = _Anchor()
        if event.anchor:
            self._anchors[event.anchor] = anchor
        before = self._nodes
        self._count(event, 1)
        anchor.node = self._node(event, depth)
        anchor.values = self._nodes - before
        return anchor.node

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        self._flow_depth += (flow := bool(event.flow_style))
        node = (
            self._items(event, depth)
            if isinstance(event, yaml.SequenceStartEvent)
            else self._pairs(event, depth)
        )
        self._flow_depth -= flow
        return node

    def _alias(self, event: Any) -> Node:
        anchor = self._anchors.get(event.anchor)
        if anchor is None or anchor.node is None:
            problem = f"alias *{event.anchor[:40]} has no finished anchor"
            self._refuse(event, problem, f"define &{event.anchor[:40]} before")
        self._count(event, 1 + anchor.values)
        self._aliased += anchor.values
        is_large = self._nodes > _ALIAS_NODES and self._aliased > _ALIAS_FLOOR
        if is_large and self._aliased > _ALIAS_SHARE * self._nodes:
            problem = "runtimes refuse a document that is nearly all aliases"
            self._refuse(event, problem, "write the values out")
        return anchor.node

    def _count(self, event: Any, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > _MAX_NODES:
            problem = f"it holds or expands to more than {_MAX_NODES} values"
            self._refuse(event, problem, "split it into several files")

    def _scalar(self, event: Any) -> Scalar:
        text, mark = event.value, event.start_mark
        if _HALF_CHARACTER.search(text):  # PyYAML without libyaml lets them pass
            self._refuse(event, *_SURROGATE)
        plain = event.implicit[0]
        if plain and self._flow_depth and "?" in text:
            problem = "runtimes take '?' for the beginning of a key here"
            self._refuse(event, problem, "put the text in quotes")
        folded = (
            event.style in {"'", '"'} and self._flow_depth > 0 and mark.line != event.end_mark.line
        )
        if self._raw is not None:
            raw = self._raw[mark.index : event.end_mark.index]
            if event.style == '"' and r"\/" in raw.replace(r"\\", ""):
                problem = r"it holds the escape \/: legal JSON, but runtimes read it as YAML 1.1 and refuse it"
                self._refuse(event, problem, "write '/' as it is")
            folded = folded or bool(_ODD_BREAKS.search(raw))
        return Scalar(mark.line + 1, mark.column + 1, text, event.tag or "", plain, folded)

    def _items(self, event: Any, depth: int) -> Items:
        mark = event.start_mark
        items = Items(mark.line + 1, mark.column + 1, event.tag or "")
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.entries.append(self._value(event, depth + 1))
        return items

    def _pairs(self, event: Any, depth: int) -> Pairs:
        mark = event.start_mark
        pairs = Pairs(mark.line + 1, mark.column + 1, event.tag or "")
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._value(event, depth + 1)
            if not isinstance(key, Scalar):
                self._refuse(event, "a key is not a scalar", "use a name as key")
            pairs.entries.append((key, self._value(next(self._events), depth + 1)))
        return pairs

    def _refuse(self, event: Any, message: str, remedy: str) -> NoReturn:
        mark = event.start_mark
        raise UnreadableError(message, remedy, mark.line + 1, mark.column + 1)
