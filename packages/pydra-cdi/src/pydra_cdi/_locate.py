"""Where in a text the fields stand that faults name; asked only when there are faults to show."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterable
from contextlib import suppress

from pydra_cdi._members import Member, fold, members
from pydra_cdi._nodes import Items, Node, Pairs
from pydra_cdi.errors import Fault, UnreadableError

_STEP = re.compile(r"""\.?(\w+)|\[(\d+)\]|\[('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]""")


def place(root: Node, faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Give faults line and column, in the order of the text; a field that is missing stands where its owner does."""
    index = _Index(root)
    placed = [fault if fault.line is not None else index.placed(fault) for fault in faults]
    return tuple(sorted(placed, key=lambda f: (f.line is None, f.line or 0, f.column or 0)))


class _Index:
    """Finds nodes by path; keeps the members of mappings it has passed, for the next path."""

    def __init__(self, root: Node) -> None:
        self._root = root
        self._members: dict[int, dict[str, Member]] = {}

    def placed(self, fault: Fault) -> Fault:
        if not fault.path:
            return fault
        node = self._root
        with suppress(UnreadableError):  # a mapping that cannot be read has a fault of its own
            node = self._find(fault.path)
        return dataclasses.replace(fault, line=node.line, column=node.column)

    def _find(self, path: str) -> Node:
        node = self._root
        for step in _STEP.finditer(path):
            name, index, key = step.groups()
            inner = self._entry(node, int(index)) if index else self._member(node, name, key)
            if inner is None:
                break
            node = inner
        return node

    def _entry(self, node: Node, index: int) -> Node | None:
        if isinstance(node, Items) and index < len(node.entries):
            return node.entries[index]
        return None

    def _member(self, node: Node, name: str | None, key: str | None) -> Node | None:
        if not isinstance(node, Pairs):
            return None
        if (known := self._members.get(id(node))) is None:
            known = self._members[id(node)] = {}
            for member in members(node):
                known[member.name] = known[fold(member.name)] = member
        found = known.get(ast.literal_eval(key) if key else fold(name or ""))
        return found.value if found else None
