"""UUIDs as Kubernetes takes them: those that identify shares of a device (KEP-5075)."""

from __future__ import annotations

import re

from pydra_testbed.api._causes import Causes, invalid, quoted

_PLAIN, _DASHED, _BRACED, _URN = 32, 36, 38, 45
_PREFIX = "urn:uuid:"
_DASHED_FORM = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
_PLAIN_FORM = re.compile(r"[0-9a-fA-F]{32}").fullmatch


def share_id(field: str, text: str) -> Causes:
    """A UUID in lower case with dashes."""
    problem = _problem(text)
    if problem:
        return [invalid(field, text, f"error validating uid: {problem}")]
    if len(text) != _DASHED or text != text.lower():
        detail = (
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` "
            "with lowercase hexadecimal characters"
        )
        return [invalid(field, text, detail)]
    return []


def _problem(text: str) -> str:
    """Go's reader takes plain, dashed, braced and URN forms."""
    length = len(text.encode())
    if length == _URN:
        if text[: len(_PREFIX)].lower() != _PREFIX:
            return f"invalid urn prefix: {quoted(text[: len(_PREFIX)])}"
        text = text[len(_PREFIX) :]
    elif length == _BRACED:
        if not (text.startswith("{") and text.endswith("}")):
            return "invalid bracketed UUID format"
        text = text[1:-1]
    elif length not in {_PLAIN, _DASHED}:
        return f"invalid UUID length: {length}"
    known = _PLAIN_FORM if length == _PLAIN else _DASHED_FORM
    return "" if known(text) else "invalid UUID format"
