"""What the roles that are stored allow a user to do (rbac.authorization.k8s.io/v1).

Rules only ever allow; what no rule allows is refused. Aggregated roles hold what their `rules` say.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydra_testbed.api._auth_tokens import User
from pydra_testbed.api._context import Act
from pydra_testbed.api._store import Store, Stored
from pydra_testbed.objects import KubeObject

GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"
_ALL = "*"
EVERYTHING: tuple[KubeObject, ...] = (
    {"apiGroups": [_ALL], "resources": [_ALL], "verbs": [_ALL]},
    {"nonResourceURLs": [_ALL], "verbs": [_ALL]},
)
"""The rules of an administrator."""


def allowed(store: Store, user: User, act: Act) -> bool:
    """Whether any role that is bound to the user allows it."""
    if MASTERS in user.groups:
        return True
    return any(_covers(rule, act) for rule in rules_of(store, user, act.namespace))


def rules_of(store: Store, user: User, namespace: str) -> Iterator[KubeObject]:
    """All rules that hold for a user in a namespace, cluster-wide ones first."""
    for binding in _bindings(store, f"clusterrolebindings.{GROUP}", ""):
        yield from _granted(store, user, binding, "")
    if namespace:
        for binding in _bindings(store, f"rolebindings.{GROUP}", namespace):
            yield from _granted(store, user, binding, namespace)


def _bindings(store: Store, bucket: str, namespace: str) -> list[Stored]:
    return [s for s in store.bucket(bucket).ordered() if s.key[0] == namespace]


def _granted(store: Store, user: User, stored: Stored, namespace: str) -> Iterator[KubeObject]:
    binding = stored.decode()
    if not any(_means(subject, user, namespace) for subject in binding.get("subjects") or ()):
        return
    ref = binding.get("roleRef") or {}
    if ref.get("kind") == "ClusterRole":
        role = store.bucket(f"clusterroles.{GROUP}").objects.get(("", ref.get("name", "")))
    else:
        role = store.bucket(f"roles.{GROUP}").objects.get((namespace, ref.get("name", "")))
    if role is not None:
        yield from role.decode().get("rules") or ()


def _means(subject: KubeObject, user: User, namespace: str) -> bool:
    name = subject.get("name", "")
    match subject.get("kind"):
        case "User":
            return bool(name == user.name)
        case "Group":
            return name in user.groups
        case "ServiceAccount":
            where = subject.get("namespace") or namespace
            return user.name == f"system:serviceaccount:{where}:{name}"
        case _:
            return False


def _covers(rule: KubeObject, act: Act) -> bool:
    verbs = rule.get("verbs") or ()
    if act.verb not in verbs and _ALL not in verbs:
        return False
    if act.path:
        return any(_on_path(url, act.path) for url in rule.get("nonResourceURLs") or ())
    groups, names = rule.get("apiGroups") or (), rule.get("resourceNames") or ()
    if act.group not in groups and _ALL not in groups:
        return False
    if not any(_is_resource(known, act.resource) for known in rule.get("resources") or ()):
        return False
    return not names or act.name in names


def _on_path(pattern: str, path: str) -> bool:
    if pattern.endswith(_ALL):
        return path.startswith(pattern[:-1])
    return pattern == path


def _is_resource(known: str, wanted: str) -> bool:
    """A resource, everything, or a subresource of everything (`*/status`)."""
    if known in {_ALL, wanted}:
        return True
    return known.startswith("*/") and known[2:] == wanted.partition("/")[2]
