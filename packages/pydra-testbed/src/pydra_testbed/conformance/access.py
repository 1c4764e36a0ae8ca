"""Who the driver is towards an API server that asks: a service account with the least a node driver needs."""

from __future__ import annotations

from pydra_testbed.api import ApiServer, Bound
from pydra_testbed.objects import KubeObject

NODE = "node-1"
ACCOUNT = "conformance-driver"
USER = f"system:serviceaccount:default:{ACCOUNT}"
_GROUP = "rbac.authorization.k8s.io"

RULES: tuple[KubeObject, ...] = (
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
    {
        "apiGroups": ["resource.k8s.io"],
        "resources": ["resourceslices"],
        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
    },
    {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims"], "verbs": ["get"]},
    {
        "apiGroups": ["resource.k8s.io"],
        "resources": ["resourceclaims/status"],
        "verbs": ["patch", "update"],
    },
    {
        "apiGroups": ["resource.k8s.io"],
        "resources": ["resourceclaims/driver"],
        "verbs": ["associated-node:patch", "associated-node:update"],
    },
    {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
)
"""The least a node driver needs, Kubernetes 1.36 (KEP-4381, KEP-4817)."""


async def add_account(server: ApiServer, node_uid: str) -> str:
    """Give the driver's service account its role; returns a token that is bound to the node."""
    api = server.local
    meta = {"name": ACCOUNT}
    await api.create("clusterroles", {"metadata": meta, "rules": list(RULES)})
    ref = {"apiGroup": _GROUP, "kind": "ClusterRole", "name": ACCOUNT}
    subject = {"kind": "ServiceAccount", "namespace": "default", "name": ACCOUNT}
    binding = {"metadata": meta, "roleRef": ref, "subjects": [subject]}
    await api.create("clusterrolebindings", binding)
    bound = [Bound("node", NODE, node_uid)]
    return server.tokens.for_service_account("default", ACCOUNT, bound=bound).text


def confinement(driver: str) -> tuple[KubeObject, KubeObject]:
    """A ValidatingAdmissionPolicy, and its binding, that keeps the account to its driver's slices of its node."""
    written = '(request.operation == "DELETE" ? oldObject : object).spec'
    node = "request.userInfo.extra[?'authentication.kubernetes.io/node-name'][0].orValue('')"
    rule = {
        "apiGroups": ["resource.k8s.io"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "resources": ["resourceslices"],
    }
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [
            {"name": "driver", "expression": f'request.userInfo.username == "{USER}"'}
        ],
        "validations": [
            {
                "expression": f"{node} != '' && {written}.?nodeName.orValue('') == {node}",
                "message": "slices of other nodes are not this driver's to write",
            },
            {
                "expression": f'{written}.driver == "{driver}"',
                "message": "slices of other drivers are not this driver's to write",
            },
        ],
    }
    policy = {"metadata": {"name": ACCOUNT}, "spec": spec}
    bound = {"policyName": ACCOUNT, "validationActions": ["Deny"]}
    return policy, {"metadata": {"name": ACCOUNT}, "spec": bound}
