"""How large things may grow before they hide more than one idea."""

import ast
from collections.abc import Iterator

from house.files import File, Finding

MODULE_LINES = 300
FUNCTION_LINES = 40
PUBLIC_NAMES = 25


def module_length(file: File) -> Iterator[Finding]:
    """Modules stop at 300 lines."""
    lines = len(file.text.splitlines())
    if file.is_source and lines > MODULE_LINES:
        yield file.finding(
            1, "module-length", f"{lines} lines, at most {MODULE_LINES}: split it by idea"
        )


def function_length(file: File) -> Iterator[Finding]:
    """Functions stop at 40 lines from `def` to the end, docstring not counted."""
    if not file.is_source:
        return
    for node in ast.walk(file.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = span(node) - (span(node.body[0]) if ast.get_docstring(node) else 0)
            if lines > FUNCTION_LINES:
                message = f"{node.name} has {lines} lines, at most {FUNCTION_LINES}"
                yield file.finding(node.lineno, "function-length", message)


def span(node: ast.stmt) -> int:
    """Return the number of lines a statement covers."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def public_names(file: File) -> Iterator[Finding]:
    """A module's `__all__` is a plain list of at most 25 names."""
    if not file.is_source:
        return
    for node in file.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else None
            if names is None:
                yield file.finding(node.lineno, "public-names", "__all__ must be a plain list")
            elif len(names) > PUBLIC_NAMES:
                message = f"{len(names)} names in __all__, at most {PUBLIC_NAMES}: hide some"
                yield file.finding(node.lineno, "public-names", message)
