"""URLs as Kubernetes' CEL library reads them: absolute, or an absolute path."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from pydra_testbed.cel.values import UrlMessage

_SAFE = "/:@!$&'()*+,;=~"


def _parse(text: Any) -> SplitResult:
    if not isinstance(text, str):
        raise TypeError("no such overload")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise _invalid(text, "invalid URI for request") from None
    if not text:
        raise _invalid(text, "empty url")
    is_absolute = bool(parts.scheme and parts.netloc)
    if not is_absolute and not text.startswith("/"):
        raise _invalid(text, "invalid URI for request")
    if any(char.isspace() or ord(char) < ord(" ") for char in parts.netloc):
        raise _invalid(text, "invalid character in host name")
    return parts


def _invalid(text: str, why: str) -> ValueError:
    return ValueError(f'URL parse error during conversion from string: parse "{text}": {why}')


def url(text: Any) -> Any:
    """`url(string)`."""
    _parse(text)
    return UrlMessage(text=text)


def is_url(text: Any) -> bool:
    """`isURL(string)`."""
    try:
        _parse(text)
    except ValueError:
        return False
    return True


def _parts(value: Any) -> SplitResult:
    if isinstance(value, UrlMessage):
        return _parse(value.text)
    raise TypeError("no such overload")


def scheme(value: Any) -> str:
    """`getScheme()`."""
    return _parts(value).scheme


def host(value: Any) -> str:
    """`getHost()`: with port, and brackets around IPv6."""
    return _parts(value).netloc.rpartition("@")[2]


def hostname(value: Any) -> str:
    """`getHostname()`: without port and brackets."""
    name, bracket, _ = host(value).removeprefix("[").partition("]")
    return name if bracket else name.partition(":")[0]


def port(value: Any) -> str:
    """`getPort()`: empty when none is given."""
    return host(value).rpartition("]")[2].partition(":")[2]


def escaped_path(value: Any) -> str:
    """`getEscapedPath()`."""
    return quote(unquote(_parts(value).path), safe=_SAFE)


def query(value: Any) -> dict[str, list[str]]:
    """`getQuery()`: every value of each key, unescaped."""
    return parse_qs(_parts(value).query, keep_blank_values=True)
