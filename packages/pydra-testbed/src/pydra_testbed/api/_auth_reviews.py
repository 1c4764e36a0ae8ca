"""Questions about permissions and tokens: objects that are posted, answered and kept nowhere.

`kubectl auth can-i` and `whoami`, drivers that check tokens, and TokenRequests for service accounts end here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import msgspec

from pydra_testbed.api._auth import Authority
from pydra_testbed.api._auth_tokens import AUDIENCE, Bound, User
from pydra_testbed.api._causes import Cause, invalid, not_supported, required
from pydra_testbed.api._context import Act
from pydra_testbed.api._core import Core, Target
from pydra_testbed.api._endpoint import Request
from pydra_testbed.api._problems import bad_request, conflict
from pydra_testbed.api._problems import invalid as refused
from pydra_testbed.clock import rfc3339
from pydra_testbed.objects import KubeObject

_SHORTEST = 600
_USUAL = 3600
_ONE = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
_BOUND_KINDS = {"Node": "nodes", "Pod": "pods", "Secret": "secrets"}


def review(core: Core, authority: Authority, user: User, request: Request) -> bytes:
    """The encoded answer: the posted object with its `status` filled in.

    Raises:
        ApiStatusError: 400, 404 (no such service account), 422.
    """
    try:
        body = msgspec.json.decode(request.body)
    except ValueError as error:
        raise bad_request(f"{request.target.kind.kind}: the body is no JSON: {error}") from None
    return msgspec.json.encode(_answer(core, authority, user, request.target, body))


def _answer(core: Core, authority: Authority, user: User, target: Target, body: Any) -> KubeObject:
    if not isinstance(body, dict):
        raise bad_request(f"{target.kind.kind}: the body is no JSON object")
    spec = body.get("spec") or {}
    if target.subresource == "token":
        status = _token(core, authority, target, spec)
        kind, version = "TokenRequest", "authentication.k8s.io/v1"
    else:
        status = _REVIEWS[target.kind.kind](authority, user, target, spec)
        kind, version = target.kind.kind, target.kind.api_version
    meta = {"creationTimestamp": core.now()} | (body.get("metadata") or {})
    return {"kind": kind, "apiVersion": version, "metadata": meta, "spec": spec, "status": status}


def _own_access(authority: Authority, user: User, target: Target, spec: KubeObject) -> KubeObject:
    return _access(authority, user, target, spec)


def _any_access(authority: Authority, _user: User, target: Target, spec: KubeObject) -> KubeObject:
    name, groups = spec.get("user") or "", tuple(spec.get("groups") or ())
    if not name and not groups:
        detail = "at least one of user or group must be specified"
        raise refused(target.kind, "", [invalid("spec.user", "", detail)])
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    asked = User(name, groups, spec.get("uid") or "", extra)
    return _access(authority, asked, target, spec)


def _access(authority: Authority, user: User, target: Target, spec: KubeObject) -> KubeObject:
    wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (wanted is None) == (path is None):
        raise refused(target.kind, "", [_either(wanted)])
    if path is not None:
        act = Act(path.get("verb", ""), path=path.get("path", ""))
    elif wanted is not None:
        sub = wanted.get("subresource")
        act = Act(
            wanted.get("verb", ""),
            wanted.get("group", ""),
            f"{wanted.get('resource', '')}/{sub}" if sub else wanted.get("resource", ""),
            wanted.get("namespace") or target.namespace,
            wanted.get("name", ""),
        )
    return {"allowed": authority.may(user, act)}


def _either(wanted: KubeObject | None) -> Cause:
    if wanted is None:
        return invalid("spec.resourceAttributes", None, _ONE)
    return invalid(
        "spec.nonResourceAttributes",
        "cannot be specified in combination with resourceAttributes",
        _ONE,
    )


def _own_rules(authority: Authority, user: User, target: Target, spec: KubeObject) -> KubeObject:
    namespace = spec.get("namespace") or ""
    if not namespace:
        raise refused(target.kind, "", [required("spec.namespace")])
    rules = authority.rules(user, namespace)
    return {
        "resourceRules": [
            {
                key: rule[key]
                for key in ("verbs", "apiGroups", "resources", "resourceNames")
                if rule.get(key)
            }
            for rule in rules
            if rule.get("resources")
        ],
        "nonResourceRules": [
            {key: rule[key] for key in ("verbs", "nonResourceURLs")}
            for rule in rules
            if rule.get("nonResourceURLs")
        ],
        "incomplete": False,
    }


def _who(_authority: Authority, user: User, _target: Target, _spec: KubeObject) -> KubeObject:
    return {"userInfo": user.info()}


def _whose(authority: Authority, _user: User, _target: Target, spec: KubeObject) -> KubeObject:
    """TokenReview."""
    audiences = spec.get("audiences") or [AUDIENCE]
    found = authority.tokens.user_of(spec.get("token") or "", audiences)
    if found is None:
        return {"user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": found.info(), "audiences": audiences}


_Review = Callable[[Authority, User, Target, KubeObject], KubeObject]
_REVIEWS: Mapping[str, _Review] = {
    "SelfSubjectAccessReview": _own_access,
    "SubjectAccessReview": _any_access,
    "LocalSubjectAccessReview": _any_access,
    "SelfSubjectRulesReview": _own_rules,
    "SelfSubjectReview": _who,
    "TokenReview": _whose,
}


def _token(core: Core, authority: Authority, target: Target, spec: KubeObject) -> KubeObject:
    """TokenRequest."""
    account = core.find(Target(target.kind, target.namespace, target.name))
    seconds = _USUAL if spec.get("expirationSeconds") is None else spec["expirationSeconds"]
    if seconds < _SHORTEST:
        detail = "may not specify a duration less than 10 minutes"
        raise refused(
            target.kind, target.name, [invalid("spec.expirationSeconds", seconds, detail)]
        )
    made = authority.tokens.for_service_account(
        target.namespace,
        target.name,
        uid=account.uid,
        bound=_bound(core, target, spec.get("boundObjectRef")),
        life=timedelta(seconds=seconds),
        audiences=spec.get("audiences") or (AUDIENCE,),
    )
    return {"token": made.text, "expirationTimestamp": rfc3339(made.expires)}


def _bound(core: Core, target: Target, ref: KubeObject | None) -> list[Bound]:
    """The object the token ends with; a pod's node comes along."""
    if ref is None:
        return []
    if ref.get("kind") not in _BOUND_KINDS:
        cause = not_supported("spec.boundObjectRef.kind", ref.get("kind", ""), sorted(_BOUND_KINDS))
        raise refused(target.kind, target.name, [cause])
    kind = core.catalog.named(_BOUND_KINDS[ref["kind"]])
    if kind is None:
        return []
    place = Target(kind, target.namespace if kind.namespaced else "", ref.get("name", ""))
    found = core.find(place)
    if ref.get("uid") and ref["uid"] != found.uid:
        why = f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. The object might have been deleted and then recreated"
        raise conflict(place.kind, place.name, why)
    bound = [Bound(ref["kind"].lower(), place.name, found.uid)]
    node = found.decode().get("spec", {}).get("nodeName") if ref["kind"] == "Pod" else None
    return [*bound, _node(core, node)] if node else bound


def _node(core: Core, name: str) -> Bound:
    stored = core.store.bucket("nodes").objects.get(("", name))
    return Bound("node", name, stored.uid if stored else "")
