"""The formats of Kubernetes names: each check returns its complaints, empty when the text is fine.

Limits count bytes as the API server does. Used by every rule module.
"""

from __future__ import annotations

import re

from pydra_testbed.api._causes import Cause, Causes, all_invalid, invalid, required, too_long

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_KEY})?"
_C_NAME = "[A-Za-z_][A-Za-z0-9_]*"

_label = re.compile(_LABEL).fullmatch
_subdomain = re.compile(_SUBDOMAIN).fullmatch
_key = re.compile(_KEY).fullmatch
_value = re.compile(_VALUE).fullmatch
_c_name = re.compile(_C_NAME).fullmatch

LABEL_MAX = 63
SUBDOMAIN_MAX = 253
DRIVER_MAX = 63
ID_MAX = 32


def size(text: str) -> int:
    """Length in bytes."""
    return len(text) if text.isascii() else len(text.encode())


def _regex(what: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{what} (e.g. {shown}regex used for validation is '{pattern}')"


_LABEL_TEXT = _regex(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
    _LABEL, "my-name", "123-abc",
)  # fmt: skip
_SUBDOMAIN_TEXT = _regex(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character",
    _SUBDOMAIN, "example.com",
)  # fmt: skip
_KEY_TEXT = _regex(
    "must consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character",
    _KEY, "MyName", "my.name", "123-abc",
)  # fmt: skip
_VALUE_TEXT = _regex(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character",
    _VALUE, "MyValue", "my_value", "12345",
)  # fmt: skip
_C_NAME_TEXT = _regex(
    "a valid C identifier must start with alphabetic character or '_', "
    "followed by a string of alphanumeric characters or '_'",
    _C_NAME, "my_name", "MY_NAME", "MyName",
)  # fmt: skip


def dns_label(text: str) -> list[str]:
    found = []
    if size(text) > LABEL_MAX:
        found.append(f"must be no more than {LABEL_MAX} characters")
    if not _label(text):
        found.append("must not contain dots" if _subdomain(text) else _LABEL_TEXT)
    return found


def dns_subdomain(text: str, unit: str = "characters") -> list[str]:
    found = []
    if size(text) > SUBDOMAIN_MAX:
        found.append(f"must be no more than {SUBDOMAIN_MAX} {unit}")
    if not _subdomain(text):
        found.append(_SUBDOMAIN_TEXT)
    return found


def label_key(text: str) -> list[str]:
    """A label key: a name with an optional DNS subdomain prefix."""
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        ending = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a valid label key {_KEY_TEXT}{ending}"]
    found = []
    if slash and not prefix:
        found.append("prefix part must be non-empty")
    elif slash:
        found += [f"prefix part {text}" for text in dns_subdomain(prefix, "bytes")]
    if not name:
        found.append("name part must be non-empty")
    elif size(name) > LABEL_MAX:
        found.append(f"name part must be no more than {LABEL_MAX} bytes")
    if not _key(name):
        found.append(f"name part {_KEY_TEXT}")
    return found


def label_value(text: str) -> list[str]:
    found = [f"must be no more than {LABEL_MAX} bytes"] if size(text) > LABEL_MAX else []
    return found if _value(text) else [*found, _VALUE_TEXT]


def c_identifier(field: str, text: str) -> Causes:
    """The name part of an attribute or a capacity."""
    found: Causes = [too_long(field, ID_MAX)] if size(text) > ID_MAX else []
    return found if _c_name(text) else [*found, invalid(field, text, _C_NAME_TEXT)]


def driver_name(field: str, text: str) -> Causes:
    """A driver name or an attribute's domain: a subdomain of at most 63 bytes, upper case allowed."""
    if not text:
        return [required(field)]
    found: Causes = [too_long(field, DRIVER_MAX)] if size(text) > DRIVER_MAX else []
    return found + all_invalid(field, text, dns_subdomain(text.lower()))


def pool_name(field: str, text: str) -> Causes:
    """One or more subdomains joined by slashes, at most 253 bytes."""
    if not text:
        return [required(field)]
    found: Causes = [too_long(field, SUBDOMAIN_MAX)] if size(text) > SUBDOMAIN_MAX else []
    for part in text.split("/"):
        found += all_invalid(field, part, dns_subdomain(part))
    return found


def qualified_name(field: str, text: str) -> Causes:
    """An attribute or capacity name; more than one slash passes, as in Kubernetes 1.36."""
    domain, slash, name = text.partition("/")
    if not slash:
        return c_identifier(field, text)
    if "/" in name:
        return []
    found: Causes = []
    if domain:
        found += driver_name(field, domain)
    else:
        found.append(invalid(field, "", "the domain must not be empty"))
    if name:
        found += c_identifier(field, name)
    else:
        found.append(invalid(field, "", "the name must not be empty"))
    return found


def fully_qualified_name(field: str, text: str) -> Causes:
    """A qualified name that must have its domain."""
    found = qualified_name(field, text)
    if "/" not in text:
        detail = "a fully qualified name must be a domain and a name separated by a slash"
        found.append(invalid(field, text, detail))
    return found


def label(field: str, text: str) -> Causes:
    return all_invalid(field, text, dns_label(text))


def subdomain(field: str, text: str) -> Causes:
    return all_invalid(field, text, dns_subdomain(text))


def key_named(field: str, text: str) -> list[Cause]:
    """A field that holds a label key."""
    return all_invalid(field, text, label_key(text))


_EXTENDED_PREFIX = "requests."


def is_extended_resource(name: str) -> bool:
    """Whether a resource name may stand for devices: a domain of its own, outside kubernetes.io."""
    if "/" not in name or "kubernetes.io/" in name or name.startswith(_EXTENDED_PREFIX):
        return False
    return not label_key(f"{_EXTENDED_PREFIX}{name}")
