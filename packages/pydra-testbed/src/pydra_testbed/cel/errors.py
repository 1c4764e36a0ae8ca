"""What can go wrong with a selector, in the words Kubernetes uses.

The evaluator speaks cel-cpp; users and the recordings speak cel-go. This module translates, so that a
message in a pod's condition reads the same on the testbed and on a cluster.
"""

from __future__ import annotations

import re
from enum import Enum


class ErrorKind(Enum):
    """Which half of Kubernetes' compiler complains: the checker, or the making of the program."""

    INVALID = "RuleInvalid"
    INTERNAL = "InternalError"


class CelCompileError(Exception):
    """The expression is no valid selector; the message is the API server's."""

    def __init__(self, text: str, kind: ErrorKind = ErrorKind.INVALID) -> None:
        super().__init__(text)
        self.kind = kind


class CelEvaluationError(Exception):
    """A selector that compiled failed on one device; the message is what the scheduler reports."""


_STATUS = re.compile(r"^[A-Z_]+: ")
_TAIL = re.compile(r" \[[A-Z_]+\]$")
_EVALUATION = (
    (r'Key not found in map : "?(.*?)"?', r"no such key: \1"),
    (r"Index error: index=(-?\d+) size=\d+", r"index out of bounds: \1"),
    (r"cannot convert string to (\w+)", r"type conversion error from 'string' to '\1'"),
    (r"Type conversion error(.*)", r"type conversion error\1"),
    (r"No matching overloads found.*", "no such overload"),
    (r"divide by zero", "division by zero"),
    (r"int64 out of uint64 range", "unsigned integer overflow"),
    (r"double out of int64 range", "integer overflow"),
    (
        r"(\w+) clause can only be used on numbers, was given (\w+)",
        r"\1 clause can only be used on integers, was given \2",
    ),
)
_COMPILE = (
    (r"has\(\) argument must be a field selection", "invalid argument to has() macro"),
    (
        r"Invalid string literal: Illegal escape sequence: Unicode value .* is invalid",
        "invalid unicode code point",
    ),
    (
        r"^Expression recursion limit exceeded. limit: \d+",
        "ERROR: <input>:-1:0: expression recursion limit exceeded: 250",
    ),
    (
        r"(?s)^ERROR: <input>:-1:-1: Exceeded max recursion depth of .*",
        "ERROR: <input>:-1:0: max recursion depth exceeded",
    ),
    (r"undefined field '(\w+)' not found in struct '[\w.]+'", r"undefined field '\1'"),
    (r"cannot be the range of a comprehension", "cannot be range of a comprehension"),
    (
        r"expression of type '(.*?)' cannot be the operand of a select operation",
        r"type '\1' does not support field selection",
    ),
)
# What is wrong with the result of something that is wrong itself.
_FOLLOWING = re.compile(r"\nERROR: [^\n]*'\(?\*error\*[^\n]*(?:\n \| [^\n]*)*")
_FREE_TYPE = re.compile(r"\bT%\d+")
_QUALIFIED = re.compile(
    r"<input>:(\d+):(\d+): undeclared reference to '([\w.]+)\.\w+' (?P<rest>\(.*\)\n \| .*\n \| )\.*\^"
)
_NO_OVERLOAD = re.compile(
    r"(?P<at><input>:(?P<line>\d+):(?P<column>\d+): found no matching overload for '(?P<name>\w+)' "
    r"applied to )'\((?P<types>.*?)\)'(?=\n)"
)


def evaluation_message(text: str) -> str:
    """Rephrase the evaluator's error; `text` is the status as cel-cpp prints it."""
    text = _plain(text)
    for pattern, replacement in _EVALUATION:
        if match := re.fullmatch(pattern, text, re.DOTALL):
            return match.expand(replacement)
    return text


def not_a_bool(kind: str) -> str:
    """The complaint about a result of type `kind`."""
    start = f"CEL result of type {kind} could not be converted to bool: "
    if kind == "string":
        return f"{start}unsupported native conversion from string to 'bool'"
    if "." in kind:
        return f"{start}type conversion error from '{kind.rpartition('.')[2]}' to 'bool'"
    return f"{start}unsupported type conversion from '{kind}' to bool"


def compile_message(text: str, expression: str) -> str:
    """Rephrase the checker's report about an expression."""
    text = _plain(text)
    for pattern, replacement in _COMPILE:
        text = re.sub(pattern, replacement, text)
    text = _FOLLOWING.sub("", text)
    text = _QUALIFIED.sub(_root_of, _FREE_TYPE.sub("dyn", text))
    if not expression:
        text = text.replace("<input>:1:1:", "<input>:1:0:")
    lines = expression.split("\n")

    def receiver_first(match: re.Match[str]) -> str:
        before = lines[int(match["line"]) - 1][: int(match["column"]) - 1]
        first, _, rest = _split_types(match["types"])
        is_method = before.rstrip().endswith(f".{match['name']}")
        return f"{match['at']}'{first}.({rest})'" if is_method else match[0]

    return f"compilation failed: {_NO_OVERLOAD.sub(receiver_first, text)}"


def without_includes(text: str) -> str:
    """The complaint of a compiler that does not know `includes`, from that of one that does."""
    unknown = "undeclared reference to 'includes' (in container '')"
    return re.sub(r"found no matching overload for 'includes' applied to '[^\n]*'", unknown, text)


def _root_of(match: re.Match[str]) -> str:
    """Of a dotted name nobody knows, only the start is reported, and where that stands."""
    column = int(match[2]) - len(match[3])
    name = match[3].partition(".")[0]
    return (
        f"<input>:{match[1]}:{column}: undeclared reference to '{name}' "
        f"{match['rest']}{'.' * (column - 1)}^"
    )


def _plain(text: str) -> str:
    return _TAIL.sub("", _STATUS.sub("", text))


def _split_types(types: str) -> tuple[str, str, str]:
    """The first type of a list in which types have commas themselves."""
    depth = 0
    for position, char in enumerate(types):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            return types[:position], ",", types[position + 2 :]
    return types, "", ""
