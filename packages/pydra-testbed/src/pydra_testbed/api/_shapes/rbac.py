"""Field tables of rbac.authorization.k8s.io/v1."""

from __future__ import annotations

from pydra_testbed.api._shapes.meta import root
from pydra_testbed.api._shapes.types import ANY, STRING, STRINGS, ListOf, always, pointer, struct

_RULES = ListOf(
    struct(
        "PolicyRule",
        {
            "verbs": always(STRINGS),
            "apiGroups": STRINGS,
            "resources": STRINGS,
            "resourceNames": STRINGS,
            "nonResourceURLs": STRINGS,
        },
    )
)
ROLE = root("Role", {"rules": always(_RULES)})
CLUSTER_ROLE = root("ClusterRole", {"rules": always(_RULES), "aggregationRule": pointer(ANY)})
BINDING = root(
    "RoleBinding",
    {
        "subjects": ListOf(
            struct(
                "Subject",
                {
                    "kind": always(STRING),
                    "apiGroup": STRING,
                    "name": always(STRING),
                    "namespace": STRING,
                },
            )
        ),
        "roleRef": struct(
            "RoleRef",
            {"apiGroup": always(STRING), "kind": always(STRING), "name": always(STRING)},
        ),
    },
)
