"""Text of a spec file to plain data: JSON first, because it is fast and exact, then YAML.

The suffix of the file plays no part, as in the reference library, which reads both with one YAML 1.1
parser. JSON that such a parser refuses is refused here too, so that a spec that loads here loads on a node.
`codec` is the only caller.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pydra_cdi.errors import UnreadableError

# In JSON text a backslash always begins an escape, so an even number of them before the match is whole.
_REFUSED_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*(\\(?:/|u[dD][89a-fA-F][0-9a-fA-F]{2}))")
# As they are, a YAML parser refuses the first and takes the second for a line break, which it folds to a blank.
_FOLDED_OR_REFUSED = re.compile("[\x7f\x85]")


class _RepeatedKeyError(ValueError):
    pass


def parse(data: bytes) -> Any:
    """Read the one document in `data`.

    Raises:
        UnreadableError: It is neither JSON nor YAML, or not something runtimes read the same way.
    """
    text = _decode(data)
    if not text.strip():
        raise UnreadableError("there is no document in it", "write the spec again")
    if not text.lstrip().startswith("{"):
        return _yaml(text)
    try:
        tree = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return _yaml_or(text, error)
    except (
        ValueError,
        RecursionError,
    ):  # a key twice, a number beyond reason, nesting: it says where
        return _yaml(text)
    if "\\" in text:
        _refuse_escapes(text)
    return _yaml(text) if _FOLDED_OR_REFUSED.search(text) else tree


def _decode(data: bytes) -> str:
    try:
        return data.decode(json.detect_encoding(data)).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not {error.encoding}"
        raise UnreadableError(message, "save the file as UTF-8") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _RepeatedKeyError
    return result


def _no_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)


def _refuse_escapes(text: str) -> None:
    if found := _REFUSED_ESCAPE.search(text):
        line = text.count("\n", 0, found.start(1)) + 1
        message = f"line {line} has the escape {found[1]}: legal JSON, but runtimes read it as YAML 1.1 and refuse it"
        raise UnreadableError(message, "write '/' and characters beyond U+FFFF as they are")


def _yaml_or(text: str, error: json.JSONDecodeError) -> Any:
    try:
        return _yaml(text)
    except UnreadableError:
        message = f"line {error.lineno} column {error.colno} is not JSON: {error.msg}"
        raise UnreadableError(
            message, "mend it there, or let a JSON library write the file"
        ) from error


def _yaml(text: str) -> Any:
    from pydra_cdi._yaml import parse_yaml  # noqa: PLC0415 - lazy: programs that see only JSON never load PyYAML

    return parse_yaml(text)
