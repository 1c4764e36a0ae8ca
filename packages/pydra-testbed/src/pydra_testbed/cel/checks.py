"""What cel-go refuses beyond the type checker, in the order it does.

Syntax that Kubernetes leaves off, literals (mixed types, patterns, formats), the result type, and constants
that cannot be converted.

Rests on the options Kubernetes sets for each CEL environment: homogeneous aggregate literals, literal
validators, constant folding when a program is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel

from pydra_testbed.cel import regexes
from pydra_testbed.cel.environment import NEVER, running_environment
from pydra_testbed.cel.errors import CelCompileError, ErrorKind, evaluation_message
from pydra_testbed.cel.features import DEFAULT, Features
from pydra_testbed.cel.typetext import type_text
from pydra_testbed.cel.wire import Tree, children

_CONVERSIONS = {"bool", "bytes", "double", "duration", "int", "string", "timestamp", "uint"}
_EXPECTING = (
    "expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, "
    "STRING, BYTES, IDENTIFIER}"
)
_NEWLINE = "\n"
_ANY = "google.protobuf.Any"
_SHARED = "allowMultipleAllocations"
_SEARCHES = {"find", "findAll"}
_STRINGS = re.compile(
    r"""[rR]?(?:'{3}.*?'{3}|"{3}.*?"{3}|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|//[^\n]*""", re.DOTALL
)


def check_source(expression: str) -> None:
    """Refuse quoted field names, which Kubernetes has not switched on.

    Raises:
        CelCompileError: with Kubernetes' text.
    """
    if "`" not in expression:
        return
    blanked = _STRINGS.sub(lambda match: " " * len(match[0]), expression)
    if "`" in blanked:
        offset = blanked.index("`")
        line, column = _line_and_column(expression, offset)
        quoted = re.match(r"`[^`\n]+`", expression[offset:])
        if quoted and not blanked[:offset].rstrip().endswith("."):
            raise CelCompileError(
                "compilation failed: "
                + _report(
                    expression,
                    line,
                    column,
                    f"Syntax error: mismatched input '{quoted[0]}' {_EXPECTING}",
                )
            )
        text = _report(expression, line, column, "unsupported syntax: '`'")
        raise CelCompileError(f"compilation failed: {text}")


def check(tree: Tree, expression: str, features: Features = DEFAULT) -> None:
    """Refuse what Kubernetes refuses of a well-typed tree.

    Raises:
        CelCompileError: with Kubernetes' text.
    """
    problems = [(tree.location(found.node), found.text) for found in _literals(tree, tree.root)]
    if problems:
        reports = [_report(expression, *place, text) for place, text in sorted(problems)]
        raise CelCompileError(f"compilation failed: {_NEWLINE.join(reports)}")
    _refuse_other_styles(tree, expression)
    root = tree.type_of(tree.root)
    attribute = "dyn" if features.list_attributes else "google.protobuf.Any"
    if type_text(root) not in {"bool", attribute}:
        shown = {"null": "null_type"}.get(type_text(root), type_text(root))
        raise CelCompileError(f"must evaluate to bool or the unknown type, not {shown}")
    for node in _calls(tree.root):
        if text := _folding_error(tree, node):
            raise CelCompileError(f"program instantiation failed: {text}", ErrorKind.INTERNAL)


def _refuse_other_styles(tree: Tree, expression: str) -> None:
    """Functions called as methods and the like, which untyped operands let pass the checker."""
    for node in _calls(tree.root):
        overloads = tree.overloads(node)
        if not overloads or not all(name.startswith(NEVER) for name in overloads):
            continue
        call = node.call_expr
        types = [type_text(tree.type_of(arg)).replace(_ANY, "any") for arg in call.args]
        applied = f"({', '.join(types)})"
        if call.HasField("target"):
            applied = f"{type_text(tree.type_of(call.target)).replace(_ANY, 'any')}.{applied}"
        text = f"found no matching overload for '{call.function}' applied to '{applied}'"
        report = _report(expression, *tree.location(node), text)
        raise CelCompileError(f"compilation failed: {report}")


def gated_use(tree: Tree, expression: str, features: Features = DEFAULT) -> str:
    """The complaint about the first thing that only stored expressions may use, empty without one."""
    for node in _nodes(tree.root):
        text = ""
        if node.call_expr.function == "includes" and not features.list_attributes:
            text = "undeclared reference to 'includes' (in container '')"
        if node.select_expr.field == _SHARED and not features.consumable_capacity:
            text = f"undefined field '{_SHARED}'"
        if text:
            return f"compilation failed: {_report(expression, *tree.location(node), text)}"
    return ""


@dataclass(frozen=True, slots=True)
class _Problem:
    node: Any
    text: str


def _line_and_column(expression: str, offset: int) -> tuple[int, int]:
    before = expression[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _report(expression: str, line: int, column: int, text: str) -> str:
    source = expression.split("\n")[line - 1]
    pointer = "." * (column - 1)
    return f"ERROR: <input>:{line}:{column}: {text}\n | {source}\n | {pointer}^"


def _literals(tree: Tree, node: Any) -> Iterator[_Problem]:
    call = node.call_expr
    if call.function == "format" and call.target.const_expr.HasField("string_value"):
        # The format's own arguments may be of any types.
        yield from _format_problems(tree, node)
        return
    yield from _mixed_types(tree, node)
    if call.function == "matches" and _pattern_error(call.args[-1]):
        yield _Problem(call.args[-1], "invalid matches argument")
    for child in children(node):
        yield from _literals(tree, child)


def _mixed_types(tree: Tree, node: Any) -> Iterator[_Problem]:
    for group in _uniform_groups(node):
        types = [type_text(tree.type_of(item)) for item in group]
        for item, found in zip(group, types, strict=True):
            if found != types[0]:
                yield _Problem(item, f"expected type '{types[0]}' but found '{found}'")


def _uniform_groups(node: Any) -> list[list[Any]]:
    kind = node.WhichOneof("kind")
    if kind == "list_expr" and not node.list_expr.optional_indices:
        return [list(node.list_expr.elements)]
    if kind == "struct_expr" and not node.struct_expr.message_name:
        plain = [entry for entry in node.struct_expr.entries if not entry.optional_entry]
        return [[entry.map_key for entry in plain], [entry.value for entry in plain]]
    return []


def _format_problems(tree: Tree, node: Any) -> Iterator[_Problem]:
    """Formatting constants is tried out; anything else waits for its values."""
    arguments = node.call_expr.args[0].list_expr.elements
    if all(item.WhichOneof("kind") == "const_expr" for item in arguments) and (
        error := _evaluation_error(tree, node)
    ):
        if "clause can only be used on" not in error:
            yield _Problem(node, error)
        else:
            place = arguments[0] if len(arguments) == 1 else node.call_expr.args[0]
            yield _Problem(place, f"error during formatting: {error}")


def _pattern_error(pattern: Any) -> str:
    if pattern.const_expr.WhichOneof("kind") != "string_value":
        return ""
    try:
        regexes.find("", pattern.const_expr.string_value)
    except ValueError as problem:
        return regexes.as_go_says(str(problem), pattern.const_expr.string_value)
    return ""


def _nodes(node: Any) -> Iterator[Any]:
    for child in children(node):
        yield from _nodes(child)
    yield node


def _calls(node: Any) -> Iterator[Any]:
    return (each for each in _nodes(node) if each.WhichOneof("kind") == "call_expr")


def _folding_error(tree: Tree, node: Any) -> str:
    call = node.call_expr
    if call.function in _CONVERSIONS:
        constant = [item.WhichOneof("kind") for item in call.args] == ["const_expr"]
        return _evaluation_error(tree, node) if constant else ""
    if call.function in _SEARCHES and call.args and (text := _pattern_error(call.args[0])):
        return f"error parsing regexp: {text}"
    return ""


def _evaluation_error(tree: Tree, node: Any) -> str:
    result = running_environment().deserialize(tree.serialize(node)).eval()
    failed = result.type() == cel.Type.ERROR
    return evaluation_message(str(result.value())) if failed else ""
