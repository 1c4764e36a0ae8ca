"""String formats of schemas that the API server checks; any other format is only a hint."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime
from urllib.parse import urlsplit

_DURATION = re.compile(r"[-+]?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w))+|0")


def fits_format(name: str, text: str) -> bool:
    """Whether a text has the format; unknown formats fit everything."""
    check = _CHECKS.get(name)
    if check is None:
        return True
    try:
        return check(text)
    except (ValueError, binascii.Error):
        return False


def _date_time(text: str) -> bool:
    datetime.fromisoformat(text.upper())
    return "T" in text.upper() and text[-1:].upper() in {"Z", *"0123456789"}


def _made_by(make: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        make(text)
        return True

    return check


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "byte": _made_by(lambda text: base64.b64decode(text, validate=True)),
    "cidr": _made_by(lambda text: ipaddress.ip_network(text, strict=False)),
    "date": _made_by(date.fromisoformat),
    "date-time": _date_time,
    "duration": lambda text: _DURATION.fullmatch(text) is not None,
    "ipv4": _made_by(ipaddress.IPv4Address),
    "ipv6": _made_by(ipaddress.IPv6Address),
    "uri": lambda text: bool(urlsplit(text).scheme),
    "uuid": _made_by(uuid.UUID),
}
