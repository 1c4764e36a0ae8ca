"""An embedded Kubernetes API server: what kubectl, drivers and the testbed's components talk to.

Objects of core/v1, workloads, coordination, events, `resource.k8s.io` and custom resources, with Kubernetes
1.36's rules, limits and texts, checked against recorded verdicts; server-side apply, Tables, OpenAPI v3 and pod logs
as kubectl needs them. It has no admission webhooks, no conversion of custom resources; such requests
are refused, never half done.
"""

from pydra_testbed.api._auth import ALWAYS_ALLOW, RBAC, Authorization
from pydra_testbed.api._auth_tokens import ADMIN, NODE_NAME, Bound, Tokens, User
from pydra_testbed.api._context import DEFAULT_GATES, CelCheck
from pydra_testbed.api._names import is_extended_resource
from pydra_testbed.api._served import RESOURCE_VERSIONS
from pydra_testbed.api.faults import Faults
from pydra_testbed.api.kubeconfig import write_kubeconfig
from pydra_testbed.api.local import LocalApi
from pydra_testbed.api.logs import LogSource
from pydra_testbed.api.selectorcheck import selector_check
from pydra_testbed.api.server import ApiServer

__all__ = [
    "ADMIN",
    "ALWAYS_ALLOW",
    "DEFAULT_GATES",
    "NODE_NAME",
    "RBAC",
    "RESOURCE_VERSIONS",
    "ApiServer",
    "Authorization",
    "Bound",
    "CelCheck",
    "Faults",
    "LocalApi",
    "LogSource",
    "Tokens",
    "User",
    "is_extended_resource",
    "selector_check",
    "write_kubeconfig",
]
