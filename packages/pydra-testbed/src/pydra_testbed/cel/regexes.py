"""`find` and `findAll`: the evaluator's own RE2 does the matching, so no pattern can run away.

Its regex extension returns the first capture group where Kubernetes returns the whole match. The pattern is
therefore wrapped in one group and its own groups are made non-capturing.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from cel_expr_python import cel

# An escape, a character class, the start of a named group, or a plain opening parenthesis.
_TOKEN = re.compile(
    r"\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\(\?P?<\w+>|\((?!\?)", re.DOTALL
)


@cache
def _program(expression: str) -> Any:
    config = cel.NewEnvConfigFromYaml("extensions:\n  - {name: regex}\n  - {name: optional}\n")
    text = cel.Type.STRING
    return cel.NewEnv(config=config, variables={"text": text, "pattern": text}).compile(expression)


def _run(expression: str, text: Any, pattern: Any) -> Any:
    if not isinstance(text, str) or not isinstance(pattern, str):
        raise TypeError("no such overload")
    result = _program(expression).eval(data={"text": text, "pattern": _whole(pattern)})
    if result.type() == cel.Type.ERROR:
        raise ValueError(str(result.value()).partition("invalid regular expression: ")[2])
    return result.plain_value()


def _whole(pattern: str) -> str:
    def ungrouped(match: re.Match[str]) -> str:
        return "(?:" if match[0].startswith("(") else match[0]

    return f"({_TOKEN.sub(ungrouped, pattern)})"


_GO = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
}


def as_go_says(problem: str, pattern: str) -> str:
    """What is wrong with a pattern in Go's words, which name the whole pattern for what it lacks."""
    what, _, part = problem.partition(": ")
    told = _GO.get(what, what)
    return f"{told}: `{pattern if told.startswith('missing closing') else part}`"


def find(text: Any, pattern: Any) -> str:
    """The leftmost match, or an empty string."""
    return str(_run("regex.extract(text, pattern).orValue('')", text, pattern))


def find_all(text: Any, pattern: Any, limit: Any = -1) -> list[str]:
    """All matches that do not overlap, or the first `limit` where that is not negative."""
    found: list[str] = _run("regex.extractAll(text, pattern)", text, pattern)
    return found if limit < 0 else found[:limit]
