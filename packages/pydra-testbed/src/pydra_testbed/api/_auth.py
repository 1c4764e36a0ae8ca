"""Who calls, and may they: 401 and 403 for the HTTP front, refusals for rules that ask again.

Without authorization everybody is the administrator; with `RBAC` every request needs a token and a role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pydra_testbed.api._auth_impersonation import acts_of, impersonated
from pydra_testbed.api._auth_rbac import EVERYTHING, MASTERS, allowed, rules_of
from pydra_testbed.api._auth_tokens import ADMIN, Tokens, User
from pydra_testbed.api._context import Act, Writer
from pydra_testbed.api._core import Core, Target
from pydra_testbed.api._problems import forbidden, forbidden_act, forbidden_path, unauthorized
from pydra_testbed.objects import KubeObject

MODES = ("AlwaysAllow", "RBAC")


@dataclass(frozen=True, slots=True)
class Authorization:
    """Who may do what: everybody everything, or as the stored roles say.

    Attributes:
        mode: One of `MODES`.
        without_token: Who a request without a token comes from; None refuses it. kubectl sends tokens over TLS
            alone, so that with roles it needs somebody here, and takes other places with `--as`.
    """

    mode: str = "AlwaysAllow"
    without_token: User | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            known = ", ".join(MODES)
            raise ValueError(f"authorization {self.mode!r} is not known: use one of {known}")

    @property
    def by_roles(self) -> bool:
        return self.mode == "RBAC"


ALWAYS_ALLOW = Authorization("AlwaysAllow", ADMIN)
RBAC = Authorization("RBAC")


class Authority:
    """One server's authentication and authorization."""

    def __init__(self, core: Core, tokens: Tokens, authorization: Authorization) -> None:
        self.tokens = tokens
        self._core = core
        self._by_roles = authorization.by_roles
        self._without_token = authorization.without_token

    def user(self, headers: Mapping[str, str]) -> User:
        """Who sends a request, or in whose place.

        Raises:
            ApiStatusError: 401, a token is missing or stands for nobody; 403, somebody may not be impersonated.
        """
        sender = self._sender(headers.get("Authorization", ""))
        wanted = impersonated(headers)
        for act in acts_of(wanted) if wanted else ():
            why = self._refused(sender, act)
            if why:
                raise forbidden_act(why)
        return wanted or sender

    def _sender(self, header: str) -> User:
        kind, _, token = header.partition(" ")
        found = self.tokens.user_of(token.strip()) if kind.lower() == "bearer" else None
        if found is not None:
            return found
        if self._without_token is None or (header and self._by_roles):
            raise unauthorized()
        return self._without_token

    def may(self, user: User, act: Act) -> bool:
        """Whether a user may do something."""
        return not self._by_roles or allowed(self._core.store, user, act)

    def check(self, user: User, verb: str, target: Target) -> None:
        """Let a request pass or not.

        Raises:
            ApiStatusError: 403.
        """
        why = self.refusal(user, act_of(verb, target))
        if why:
            raise forbidden(target.kind, target.name, why)

    def check_path(self, user: User, verb: str, path: str) -> None:
        """Let a request on a path that is no resource pass or not.

        Raises:
            ApiStatusError: 403.
        """
        if not self.may(user, Act(verb, path=path)):
            raise forbidden_path(f'User "{user.name}" cannot {verb} path "{path}"')

    def refusal(self, user: User, act: Act) -> str:
        """Why a user may not do something, in Kubernetes' words; empty when they may."""
        if self.may(user, act):
            return ""
        where = f'in the namespace "{act.namespace}"' if act.namespace else "at the cluster scope"
        return (
            f'User "{user.name}" cannot {act.verb} resource "{act.resource}" '
            f'in API group "{act.group}" {where}'
        )

    def rules(self, user: User, namespace: str) -> list[KubeObject]:
        """All rules that hold for a user in a namespace."""
        if not self._by_roles or MASTERS in user.groups:
            return list(EVERYTHING)
        return list(rules_of(self._core.store, user, namespace))

    def writer(self, user: User, verb: str) -> Writer:
        """The user as the rules of a write may ask about them."""
        return Writer(verb, user.node, partial(self._refused, user), user.info())

    def _refused(self, user: User, act: Act) -> str:
        why = self.refusal(user, act)
        if not why:
            return ""
        plain = act.resource.partition("/")[0]
        subject = f"{plain}.{act.group}" if act.group else plain
        named = f'{subject} "{act.name}"' if act.name else subject
        return f"{named} is forbidden: {why}"


def act_of(verb: str, target: Target) -> Act:
    """What a request on a resource wants."""
    kind, sub = target.kind, target.subresource
    resource = f"{kind.plural}/{sub}" if sub else kind.plural
    return Act(verb, kind.group, resource, target.namespace, target.name)
