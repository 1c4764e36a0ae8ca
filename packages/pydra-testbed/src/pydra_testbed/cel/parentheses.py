"""Parentheses around parentheses, which the evaluator's parser counts as depth and Kubernetes' does not."""

from __future__ import annotations

import re

from pydra_testbed.cel.errors import CelCompileError

DEEPEST = 250
_TOKENS = re.compile(
    r"""[rRbB]{0,2}(?:'{3}.*?'{3}|"{3}.*?"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")|//[^\n]*|[()]""",
    re.DOTALL,
)


def without_idle_parentheses(expression: str) -> str:
    """Blank out the inner of two pairs that enclose the same; columns stay as they are.

    Raises:
        CelCompileError: they nest deeper than Kubernetes' parser goes.
    """
    if "((" not in expression:
        return expression
    pairs = _pairs(expression)
    kept = list(expression)
    for opened, closed in pairs.items():
        if pairs.get(opened + 1) == closed - 1:
            kept[opened + 1] = kept[closed - 1] = " "
    return "".join(kept)


def _pairs(expression: str) -> dict[int, int]:
    """Where each opening parenthesis is closed."""
    pairs: dict[int, int] = {}
    still_open: list[int] = []
    for token in _TOKENS.finditer(expression):
        if token[0] == "(":
            still_open.append(token.start())
            if len(still_open) > DEEPEST:
                raise CelCompileError(
                    "compilation failed: ERROR: <input>:-1:0: "
                    f"expression recursion limit exceeded: {DEEPEST}"
                )
        elif token[0] == ")" and still_open:
            pairs[still_open.pop()] = token.start()
    return pairs
