"""Who a bearer token stands for: the testbed's token registry.

Tokens are JSON web tokens as Kubernetes makes them for service accounts (KEP-1205, KEP-4193), signed with a secret
of this server: a client may read who it is from its own token, and nobody can make one up.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import msgspec

from pydra_testbed.clock import Clock

ISSUER = "https://kubernetes.default.svc"
AUDIENCE = ISSUER
AUTHENTICATED = "system:authenticated"
NODE_NAME = "authentication.kubernetes.io/node-name"
_LIFE = timedelta(hours=1)
_CLAIM = "kubernetes.io"
_ACCOUNTS = "system:serviceaccounts"


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated caller. `extra` may hold the node that the caller's token is bound to (`NODE_NAME`)."""

    name: str
    groups: tuple[str, ...] = (AUTHENTICATED,)
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def info(self) -> dict[str, Any]:
        """`UserInfo` of authentication.k8s.io/v1."""
        info: dict[str, Any] = {"username": self.name, "groups": list(self.groups)}
        if self.uid:
            info["uid"] = self.uid
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return info

    @property
    def node(self) -> str:
        """The node that the token is bound to; empty for none."""
        return "".join(self.extra.get(NODE_NAME, ())[:1])


ADMIN = User("kubernetes-admin", ("system:masters", AUTHENTICATED))


@dataclass(frozen=True, slots=True)
class Bound:
    """What a service account's token is bound to: pod, node or secret, by name and uid."""

    kind: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """A token and when it ends."""

    text: str
    expires: datetime


class Tokens:
    """The tokens of one server: those given out by name, and those that carry their own proof."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._known: dict[str, User] = {}

    def add(self, user: User, text: str = "") -> str:
        """Let a token stand for a user until the server ends; made up unless `text` is given."""
        token = text or secrets.token_urlsafe(24)
        self._known[token] = user
        return token

    def for_service_account(
        self,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        bound: Sequence[Bound] = (),
        life: timedelta = _LIFE,
        audiences: Sequence[str] = (AUDIENCE,),
    ) -> Token:
        """A service account's token, as a TokenRequest or a projected volume gives it."""
        now = self._clock.now()
        account = {"name": name, "uid": uid}
        claims = {
            "aud": list(audiences),
            "exp": int((now + life).timestamp()),
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "sub": f"system:serviceaccount:{namespace}:{name}",
            _CLAIM: {"namespace": namespace, "serviceaccount": account}
            | {entry.kind: {"name": entry.name, "uid": entry.uid} for entry in bound},
        }
        return Token(self._signed(claims), now + life)

    def user_of(self, token: str, audiences: Sequence[str] = (AUDIENCE,)) -> User | None:
        """Who a token stands for, None when it is unknown, forged, over, or meant for somebody else."""
        known = self._known.get(token)
        if known is not None:
            return known
        claims = self._claims(token)
        if claims is None or claims["exp"] <= self._clock.now().timestamp():
            return None
        return _account(claims) if set(claims["aud"]) & set(audiences) else None

    def _signed(self, claims: Mapping[str, Any]) -> str:
        head = _packed(msgspec.json.encode({"alg": "HS256", "kid": "pydra-testbed"}))
        text = f"{head}.{_packed(msgspec.json.encode(claims))}"
        return f"{text}.{self._signature(text)}"

    def _signature(self, text: str) -> str:
        return _packed(hmac.new(self._secret, text.encode(), hashlib.sha256).digest())

    def _claims(self, token: str) -> dict[str, Any] | None:
        text, _, signature = token.rpartition(".")
        if not text.isascii() or not signature.isascii():
            return None
        if not hmac.compare_digest(signature, self._signature(text)):
            return None
        body = text.partition(".")[2]
        claims: dict[str, Any] = msgspec.json.decode(
            base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        )
        return claims


def account_groups(namespace: str) -> tuple[str, ...]:
    """The groups of every service account of a namespace."""
    return _ACCOUNTS, f"{_ACCOUNTS}:{namespace}"


def _packed(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _account(claims: Mapping[str, Any]) -> User:
    own = claims[_CLAIM]
    extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims['jti']}",)}
    for kind in ("node", "pod"):
        for key in ("name", "uid"):
            value = own.get(kind, {}).get(key)
            if value:
                extra[f"authentication.kubernetes.io/{kind}-{key}"] = (value,)
    groups = (*account_groups(own["namespace"]), AUTHENTICATED)
    return User(claims["sub"], groups, own["serviceaccount"]["uid"], MappingProxyType(extra))
