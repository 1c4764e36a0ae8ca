"""Reads a chart's values.yaml with its comments: the only place where a value is described.

The comment right above a key is its description. A line `# @ {...}` in it adds to the key's JSON Schema what the
default value cannot tell. Used by the schema and by the table of the README.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_KEY = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z][A-Za-z0-9]*):(?: (?P<value>.*))?")
_STEP = 2


class ValuesError(Exception):
    """The file cannot be read so; names file and line, and says what to do."""


@dataclass(frozen=True, slots=True)
class Value:
    """One key: its path, what its comment says, and its default."""

    path: tuple[str, ...]
    says: str
    extra: Mapping[str, Any]
    default: Any


def read(path: Path) -> tuple[Value, ...]:
    """All keys in the order of the file.

    Raises:
        ValuesError: a key without a comment, a line that is neither, or an annotation that is no JSON.
    """
    text = path.read_text(encoding="utf-8")
    return tuple(_values(path.name, text, yaml.safe_load(text)))


def _values(name: str, text: str, defaults: Any) -> Iterator[Value]:
    comment: list[str] = []
    above: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        if line.strip().startswith("#"):
            comment.append(line.strip().removeprefix("#").strip())
            continue
        if line.strip():
            found = _KEY.fullmatch(line)
            if not found:
                raise ValuesError(f"{where}: write one key a line; defaults of lists are []")
            above = (*above[: len(found["indent"]) // _STEP], found["name"])
            yield Value(above, *_said(where, comment), _at(defaults, above))
        comment = []


def _said(where: str, comment: list[str]) -> tuple[str, dict[str, Any]]:
    words = " ".join(line for line in comment if not line.startswith("@"))
    if not words:
        raise ValuesError(f"{where}: has no comment right above it; say what it is")
    extra: dict[str, Any] = {}
    for line in comment:
        if line.startswith("@"):
            try:
                extra |= json.loads(line.removeprefix("@"))
            except ValueError as err:
                raise ValuesError(f"{where}: the line with @ is no JSON: {err}") from err
    return words, extra


def _at(defaults: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        defaults = defaults[name]
    return defaults
