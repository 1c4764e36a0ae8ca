"""The JSON paths of printer columns: fields, indexes, `[*]`, and filters that compare with a text.

After client-go `jsonpath`, as far as column definitions go; a path that goes further shows nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_STEP = re.compile(
    r"""\.(?P<field>(?:[^.\[\]\\]|\\.)+)
      | \[(?P<index>-?\d+)\]
      | \[(?P<all>\*)\]
      | \[(?P<quote>['"])(?P<name>.*?)(?P=quote)\]
      | \[\?\(@\.(?P<key>[\w.\\/-]+)\s*(?P<operator>==|!=)\s*(?P<mark>['"])(?P<text>.*?)(?P=mark)\)\]""",
    re.VERBOSE,
)


def found(obj: Any, path: str) -> list[Any]:
    """All values at a path, none when there are none or the path cannot be read."""
    values, position = [obj], 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            return []
        values = [below for value in values for below in _below(value, step)]
        position = step.end()
    return [value for value in values if value is not None]


def _below(value: Any, step: re.Match[str]) -> Iterator[Any]:
    if step["field"] or step["name"] is not None:
        name = re.sub(r"\\(.)", r"\1", step["field"]) if step["field"] else step["name"]
        yield from _field(value, name)
    elif not isinstance(value, list | dict):
        return
    elif step["index"]:
        index = int(step["index"])
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]
    elif step["all"]:
        yield from value.values() if isinstance(value, dict) else value
    else:
        for item in value if isinstance(value, list) else ():
            same = next(_field(item, step["key"]), None) == step["text"]
            if same == (step["operator"] == "=="):
                yield item


def _field(value: Any, name: str) -> Iterator[Any]:
    if isinstance(value, dict) and name in value:
        yield value[name]
