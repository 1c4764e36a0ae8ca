"""The bearer token: there, not expired, and bound to this node as admission policies and 1.36's rights want it.

A token is only read here, never verified (the API server does that) and never shown.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import msgspec

from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.results import Result, finding, ok, skipped
from pydra_core._commands.doctor.server import Server
from pydra_core._commands.doctor.subject import Subject

_RENEW = (
    "in a pod, use the projected service account token, which the kubelet renews; outside, make a new one:"
    " kubectl create token SERVICEACCOUNT -n NAMESPACE"
)
_BIND = (
    "run in a pod on this node with a projected service account token (Kubernetes 1.32 or newer binds it to the"
    " node): policies that confine the driver to its own node refuse other tokens"
)
_END_OF_TIME = 1e12


def look(subject: Subject, server: Server) -> Iterator[Result]:
    """Expiry and node of the token, as far as it says."""
    try:
        token = server.token()
    except (OSError, UnicodeDecodeError) as err:
        seen = f"the token cannot be read: {err}"
        fix = "mount the service account's token (automountServiceAccountToken: true), or correct tokenFile"
        yield finding(Finding.API_TOKEN, "api: token", seen, fix)
        return
    if not token:
        yield skipped("api: token", "none is used: client certificate or open server")
        return
    claims = _claims(token)
    if claims is None:
        yield skipped("api: token", "it is no JWT, so it says neither its expiry nor its node")
        return
    yield _expiry(claims, subject.now())
    if not subject.cluster:
        yield _node(claims, subject.settings.node_name)


def _claims(token: str) -> dict[str, Any] | None:
    """The payload of a JWT, unverified; None if it is none."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 (header, payload, signature)
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = msgspec.json.decode(payload)
    except (binascii.Error, ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _expiry(claims: dict[str, Any], now: float) -> Result:
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or not 0 <= expires < _END_OF_TIME:
        return skipped("api: token", "it does not say when it expires")
    left = (expires - now) / 60
    if left <= 0:
        return finding(Finding.API_TOKEN, "api: token", f"expired {-left:.0f} minutes ago", _RENEW)
    return ok("api: token", f"valid for {left:.0f} more minutes")


def _node(claims: dict[str, Any], name: str) -> Result:
    check = "api: token's node"
    bound: Any = claims
    for key in ("kubernetes.io", "node", "name"):
        bound = bound.get(key) if isinstance(bound, dict) else None
    if not isinstance(bound, str) or not bound:
        return finding(Finding.API_TOKEN_NODE, check, "the token is bound to no node", _BIND)
    if name and bound != name:
        fix = (
            f"set NODE_NAME from the downward API (spec.nodeName); the token says NODE_NAME={bound}"
        )
        return finding(Finding.API_TOKEN_NODE, check, f"bound to node {bound}, not to {name}", fix)
    return ok(check, f"bound to node {bound}")
