"""What a column is, and what a cell may know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from pydra_testbed.api._tables.ages import age
from pydra_testbed.objects import KubeObject

Cell: TypeAlias = Callable[[KubeObject, datetime], Any]
"""From an object and the time to what stands in the column."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column; priority 0 is always shown, others with `-o wide`."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0

    def definition(self) -> KubeObject:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def of(path: str, absent: str = "") -> Cell:
    """The value at a dotted path, as text."""

    def cell(obj: KubeObject, _now: datetime) -> Any:
        value = at(obj, path)
        return absent if value is None or value == "" else value

    return cell


def count(path: str) -> Cell:
    """How many entries a list or map has."""
    return lambda obj, _now: len(at(obj, path) or ())


def number(path: str) -> Cell:
    """A whole number; absent is 0."""
    return lambda obj, _now: at(obj, path) or 0


def at(obj: Any, path: str) -> Any:
    """The value at a dotted path, None where the path ends early."""
    for step in path.split("."):
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def since(path: str) -> Cell:
    """How long ago the time at a path was."""
    return lambda obj, now: age(at(obj, path), now)


NAME = TableColumn("Name", of("metadata.name"), format="name")
AGE = TableColumn("Age", since("metadata.creationTimestamp"))
