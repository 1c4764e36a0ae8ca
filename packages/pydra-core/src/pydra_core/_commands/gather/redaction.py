"""Takes out of a value what a support bundle must not hold; what is left tells that something was there.

Values of environment variables, opaque parameters and annotations are a user's, a driver's own state may be made of
them, and whatever is named like a secret is taken for one.
"""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "<redacted>"
_SECRET = re.compile(
    r"token|secret|passw|credential|api_?key|private|authorization|cookie", re.IGNORECASE
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_DROPPED = frozenset({"managedFields"})
_WHOLLY = frozenset({"annotations", "parameters", "state"})
_ENVIRONMENT = frozenset({"env", "environment"})


def redacted(value: Any) -> Any:
    """A copy of JSON data without secrets."""
    match value:
        case dict():
            kept = ((key, each) for key, each in value.items() if key not in _DROPPED)
            return {key: _field(str(key), each) for key, each in kept}
        case list() | tuple():
            return [redacted(each) for each in value]
        case _:
            return value


def _field(name: str, value: Any) -> Any:
    if name in _ENVIRONMENT and isinstance(value, list):
        return [_variable(each) for each in value]
    if name in _WHOLLY or (_SECRET.search(name) and not isinstance(value, bool)):
        return hidden(value)
    return redacted(value)


def _variable(each: Any) -> Any:
    """`NAME=value` as CDI writes it, or `{name, value}` as Kubernetes does."""
    if isinstance(each, str):
        return f"{each.partition('=')[0]}={HIDDEN}"
    if isinstance(each, dict):
        return {key: v if key == "name" else hidden(v) for key, v in each.items()}
    return HIDDEN


def hidden(value: Any) -> Any:
    """The shape of a value: names of fields and how many entries, nothing else."""
    match value:
        case dict():
            return {key: hidden(each) for key, each in value.items()}
        case list() | tuple():
            return [hidden(each) for each in value]
        case None:
            return None
        case _:
            return HIDDEN


def without_quotes(text: str) -> str:
    """An error text without the pieces of somebody's file that it quotes."""
    return _QUOTED.sub(HIDDEN, text)
