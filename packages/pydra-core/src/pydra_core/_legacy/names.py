"""Which names of resources and IDs a kubelet takes: checked before it is told any, because it does not say what is wrong."""

from __future__ import annotations

import re

from pydra_core._api.rules import is_subdomain

LONGEST_ID = 63
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_QUOTA = "requests."
"""What quotas put before a resource's name, which must fit together with it."""
_DOMAIN_LENGTH = 253


def name_fault(name: str) -> str:
    """Why a kubelet would refuse an extended resource of this name; empty if it would not."""
    domain, _, rest = name.partition("/")
    if not rest:
        return "must be `domain/name`, such as example.com/card"
    if domain == "kubernetes.io" or domain.endswith(".kubernetes.io"):
        return "kubernetes.io belongs to Kubernetes; use a domain of your own"
    if domain.startswith(_QUOTA):
        return f"must not begin with `{_QUOTA}`, which is for quotas"
    if not is_subdomain(domain) or len(_QUOTA + domain) > _DOMAIN_LENGTH:
        return f"{domain!r} before the slash must be a DNS subdomain of at most {_DOMAIN_LENGTH - len(_QUOTA)} characters"
    if not _NAME.fullmatch(rest):
        return (
            f"{rest!r} behind the slash must be at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit"
            " first and last"
        )
    return ""


def id_fault(device_id: str) -> str:
    """Why a kubelet would not work with this device ID; empty if it would."""
    if not device_id or len(device_id) > LONGEST_ID or not device_id.isascii():
        return f"ID {device_id[:80]!r} must be 1 to {LONGEST_ID} ASCII characters"
    if not device_id.isprintable() or " " in device_id:
        return f"ID {device_id!r} must not hold spaces or control characters"
    return ""
