"""Where everything may be caught: in the places listed here, nowhere else.

A claim's error must not fail its neighbours, a background task's must not end the driver, and what a vendor's
library raises must reach the driver as data, whatever the constructor of its class does. Any further broad catch hides
a bug from the person who could mend it.
"""

import ast
from collections.abc import Iterator

from house.files import File, Finding

CORE = "packages/pydra-core/src/pydra_core/"
ALLOWED = {
    CORE + "_node/prepare.py:_answer": "per claim",
    CORE + "_node/lifecycle.py:_keep_running": "per background task",
    CORE + "_legacy/preferring.py:preferred": "per advice of a driver, which is only advice",
    CORE + "_shield/worker.py:outcome": "per operation of a vendor's library, in its own process",
    CORE + "_shield/failures.py:rebuilt": "per error that comes from there",
}


def broad_catch(file: File) -> Iterator[Finding]:
    """Core catches everything in the listed places only; a catch that re-raises is none."""
    if not (file.is_source and file.path.startswith(CORE)):
        return
    allowed = {place for place in ALLOWED if place.startswith(f"{file.path}:")}
    for function, line in broad_catches(file.tree, "<module>"):
        place = f"{file.path}:{function}"
        if place in allowed:
            allowed.remove(place)  # one catch each
        else:
            message = f"{function} catches everything: name the errors it can answer"
            yield file.finding(line, "broad-catch", message)
    for place in sorted(allowed):
        message = f"{place} is listed in tools/check_house.py and catches nothing: unlist it"
        yield file.finding(1, "broad-catch", message)


def broad_catches(node: ast.AST, function: str) -> Iterator[tuple[str, int]]:
    """Yield the innermost function's name and the line of each broad catch below `node`."""
    for child in ast.iter_child_nodes(node):
        if is_broad_handler(child) or is_broad_suppress(child):
            yield function, getattr(child, "lineno", 1)
        inside = (
            child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        )
        yield from broad_catches(child, inside)


def is_broad_handler(node: ast.AST) -> bool:
    """Whether this is an `except` for everything that does not end by raising again."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    last = node.body[-1]
    raises_again = isinstance(last, ast.Raise) and last.exc is None
    return (node.type is None or names_everything(node.type)) and not raises_again


def is_broad_suppress(node: ast.AST) -> bool:
    """Whether this is `suppress(Exception)`."""
    return (
        isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] == "suppress"
        and any(names_everything(argument) for argument in node.args)
    )


def names_everything(node: ast.expr) -> bool:
    """Whether an expression names Exception or BaseException, alone or in a tuple."""
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(ast.unparse(part) in {"Exception", "BaseException"} for part in parts)
