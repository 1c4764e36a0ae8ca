"""The roles that every cluster starts with, as far as the testbed's callers need them."""

from __future__ import annotations

from pydra_testbed.api._auth_rbac import EVERYTHING, GROUP, MASTERS
from pydra_testbed.api._auth_tokens import AUTHENTICATED
from pydra_testbed.api._core import Core, Options, Target
from pydra_testbed.api._creates import create
from pydra_testbed.objects import KubeObject

_PATHS = (
    "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*",
    "/readyz", "/version", "/version/",
)  # fmt: skip
_ROLES: dict[str, tuple[str, list[KubeObject]]] = {
    "cluster-admin": (
        MASTERS,
        list(EVERYTHING),
    ),
    "system:basic-user": (
        AUTHENTICATED,
        [
            {
                "apiGroups": ["authorization.k8s.io"],
                "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                "verbs": ["create"],
            },
            {
                "apiGroups": ["authentication.k8s.io"],
                "resources": ["selfsubjectreviews"],
                "verbs": ["create"],
            },
        ],
    ),
    "system:discovery": (AUTHENTICATED, [{"nonResourceURLs": list(_PATHS), "verbs": ["get"]}]),
}


def add_roles(core: Core) -> None:
    """Create the first roles and their bindings."""
    for name, (group, rules) in _ROLES.items():
        labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
        _add(core, "clusterroles", {"metadata": {"name": name, "labels": labels}, "rules": rules})
        binding = {
            "metadata": {"name": name, "labels": labels},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": group}],
        }
        _add(core, "clusterrolebindings", binding)


def _add(core: Core, plural: str, body: KubeObject) -> None:
    kind = core.catalog.named(plural)
    if kind is not None:
        create(core, Target(kind), body, Options())
