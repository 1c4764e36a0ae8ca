"""Which bytes every reader reads alike: strict JSON that a YAML 1.1 parser, which runtimes have, takes the same way.

`codec` decodes such text straight into the model. All that is not surely safe is read again, slowly, by the
rules of the reference library.
"""

from __future__ import annotations

import json
import re
from typing import Any

# `\/` and surrogates are legal in JSON and refused by a YAML 1.1 parser.
_REFUSED_ESCAPE = re.compile(rb"\\(?:/|u[dD][89a-fA-F])")
# As they are, such a parser refuses these characters or takes them for line breaks.
_ODD_CHARACTER = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\xef\xbb\xbf|\xef\xbf[\xbe\xbf]"
)
# A key must be followed by its colon on the same line and within 1024 characters.
_KEY_APART = (b" :", b"\t:", b"\n:", b"\r:")
_LONGEST_KEY = 160  # of which each character may be written as an escape of six
_MAX_VALUES = 300_000


def is_too_large(data: bytes) -> bool:
    """Tell whether a text may hold more values than fit into the memory a reader should need."""
    return len(data) > _MAX_VALUES and sum(map(data.count, (b",", b":", b"[", b"{"))) > _MAX_VALUES


def is_safe(data: bytes) -> bool:
    """Tell whether JSON text means the same to a YAML 1.1 parser, but for keys that repeat or are very long."""
    if data.isascii():
        if b"\x7f" in data:
            return False
    elif _ODD_CHARACTER.search(data):
        return False
    if b"\\" in data and _REFUSED_ESCAPE.search(data.replace(rb"\\", b"")):
        return False
    is_braced = data[:1] == b"{" and data.rstrip(b" \r\n")[-1:] == b"}"
    return is_braced and not any(map(data.__contains__, _KEY_APART))


def has_repeated_keys(data: bytes, encoded: bytes) -> bool:
    """Tell whether an object holds a key twice; `encoded` is what was decoded from `data`, encoded again.

    Without escapes and with as many keys as fields that are not empty, no key can be there twice.
    """
    if b"\\" not in data and data.count(b'":') == encoded.count(b'":'):
        return False
    try:
        json.loads(data, object_pairs_hook=_once)
    except _RepeatedKeyError:
        return True
    return False


def is_long_key(key: str) -> bool:
    """Tell whether a key may be too long for a YAML 1.1 parser, as written."""
    return len(key) > _LONGEST_KEY


class _RepeatedKeyError(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _RepeatedKeyError
