"""Acting in somebody's place: the headers of `kubectl --as`, and the permissions they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from pydra_testbed.api._auth_tokens import AUTHENTICATED, User, account_groups
from pydra_testbed.api._context import Act

_USER, _UID, _GROUP = "Impersonate-User", "Impersonate-Uid", "Impersonate-Group"
_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATION = "authentication.k8s.io"


def impersonated(headers: Mapping[str, str]) -> User | None:
    """The user whose place a request takes, None for its sender's own."""
    name = headers.get(_USER, "")
    if not name:
        return None
    groups = tuple(_all(headers, _GROUP)) or _usual_groups(name)
    extra: dict[str, tuple[str, ...]] = {}
    for header in headers:
        if header.lower().startswith(_EXTRA):
            key = unquote(header[len(_EXTRA) :]).lower()
            extra[key] = tuple(_all(headers, header))
    return User(name, tuple(dict.fromkeys((*groups, AUTHENTICATED))), headers.get(_UID, ""), extra)


def acts_of(user: User) -> Iterator[Act]:
    """What the sender must be allowed to do for it."""
    if user.name.startswith(_ACCOUNT):
        namespace, _, name = user.name.removeprefix(_ACCOUNT).partition(":")
        yield Act("impersonate", "", "serviceaccounts", namespace, name)
    else:
        yield Act("impersonate", "", "users", "", user.name)
    usual = {AUTHENTICATED, *_usual_groups(user.name)}
    for group in user.groups:
        if group not in usual:
            yield Act("impersonate", "", "groups", "", group)
    for key, values in user.extra.items():
        for value in values:
            yield Act("impersonate", _AUTHENTICATION, f"userextras/{key}", "", value)


def _usual_groups(name: str) -> tuple[str, ...]:
    if not name.startswith(_ACCOUNT):
        return ()
    return account_groups(name.removeprefix(_ACCOUNT).partition(":")[0])


def _all(headers: Mapping[str, str], name: str) -> list[str]:
    """Every value of a header that may come more than once."""
    several = getattr(headers, "getall", None)
    return several(name, []) if several else [headers[name]] if name in headers else []
