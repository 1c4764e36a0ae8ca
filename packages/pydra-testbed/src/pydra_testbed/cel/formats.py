"""Named formats (`format.dns1123Label().validate(text)`): rules and texts of Kubernetes' validation."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pydra_testbed.cel import urls
from pydra_testbed.cel.values import FormatMessage

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_UUID = "[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_DATE_TIME = r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})"

Validate = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class _Shape:
    """A pattern with a longest length, and what to say when it does not fit."""

    pattern: str
    longest: int
    complaint: str

    def __call__(self, text: str) -> list[str]:
        problems = []
        if len(text) > self.longest:
            problems.append(f"must be no more than {self.longest} characters")
        if re.fullmatch(self.pattern, text) is None:
            problems.append(self.complaint)
        return problems


def _prefix(shape: _Shape) -> Validate:
    """A prefix may end in a hyphen, as something follows it."""

    def validate(text: str) -> list[str]:
        return shape(f"{text[:-1]}a" if len(text) > 1 and text.endswith("-") else text)

    return validate


def _qualified_name(text: str) -> list[str]:
    prefix, slash, name = text.rpartition("/")
    problems = [f"prefix part {problem}" for problem in _DNS_SUBDOMAIN(prefix)] if slash else []
    return problems + [f"name part {problem}" for problem in _QUALIFIED_PART(name)]


def _uri(text: str) -> list[str]:
    return [] if urls.is_url(text) else ["invalid URI for request"]


def _byte(text: str) -> list[str]:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return ["invalid base64"]
    return []


def _date(text: str) -> list[str]:
    try:
        date.fromisoformat(text)
    except ValueError:
        return ["invalid date"]
    return [] if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else ["invalid date"]


def _date_time(text: str) -> list[str]:
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return ["invalid datetime"]
    return [] if re.fullmatch(_DATE_TIME, text) else ["invalid datetime"]


_DNS_LABEL = _Shape(
    _LABEL,
    63,
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
)
_DNS_1035 = _Shape(
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    63,
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character",
)
_DNS_SUBDOMAIN = _Shape(
    _SUBDOMAIN,
    253,
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
)
_QUALIFIED_PART = _Shape(
    _QUALIFIED,
    63,
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character",
)
_LABEL_VALUE = _Shape(
    f"({_QUALIFIED})?",
    63,
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character",
)

FORMATS: dict[str, Validate] = {
    "dns1123Label": _DNS_LABEL,
    "dns1123Subdomain": _DNS_SUBDOMAIN,
    "dns1035Label": _DNS_1035,
    "dns1123LabelPrefix": _prefix(_DNS_LABEL),
    "dns1123SubdomainPrefix": _prefix(_DNS_SUBDOMAIN),
    "dns1035LabelPrefix": _prefix(_DNS_1035),
    "qualifiedName": _qualified_name,
    "labelValue": _LABEL_VALUE,
    "uri": _uri,
    "uuid": _Shape(_UUID, 36, "does not match the UUID format"),
    "byte": _byte,
    "date": _date,
    "datetime": _date_time,
}


def named(name: Any) -> Any:
    """`format.named(string)` before it is made optional: an empty text when there is no such format."""
    return FormatMessage(text=name) if name in FORMATS else ""


def constant(name: str) -> Callable[[], Any]:
    """`format.<name>()`."""
    return lambda: FormatMessage(text=name)


def validate(format_: Any, text: Any) -> list[str]:
    """`validate(string)` before it is made optional: empty when the text is fine."""
    if isinstance(format_, FormatMessage) and isinstance(text, str):
        return FORMATS[format_.text](text)
    raise TypeError("no such overload")
