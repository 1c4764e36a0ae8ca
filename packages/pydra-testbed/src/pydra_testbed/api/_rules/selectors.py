"""Device selectors: each is a CEL expression, compiled by the injected check."""

from __future__ import annotations

from functools import partial

from pydra_testbed.api._causes import Causes, forbidden, invalid, required, too_long
from pydra_testbed.api._context import Context
from pydra_testbed.api._names import size
from pydra_testbed.api._rules.lists import each
from pydra_testbed.objects import KubeObject

SELECTORS_MAX = 32
EXPRESSION_MAX = 10 * 1024


def selectors(field: str, items: list[KubeObject] | None, context: Context) -> Causes:
    """All selectors of a request or a class."""
    return each(field, items, SELECTORS_MAX, partial(_selector, context))


def _selector(context: Context, field: str, selector: KubeObject) -> Causes:
    cel = selector.get("cel")
    if cel is None:
        return [required(f"{field}.cel")]
    path, expression = f"{field}.cel.expression", cel.get("expression", "")
    if size(expression) > EXPRESSION_MAX:
        return [too_long(path, EXPRESSION_MAX)]
    complaint = context.complaint(expression)
    if complaint is None:
        return []
    if complaint.startswith("too complex"):
        return [forbidden(path, complaint)]
    return [invalid(path, expression, complaint)]
