"""An embedded Kubernetes API server: what kubectl, drivers and the testbed's components talk to.

Objects of core/v1, coordination, events and `resource.k8s.io/v1`, with Kubernetes 1.36's rules, limits and
texts, checked against recorded verdicts. It has no authorization, admission webhooks, custom resources,
server-side apply or Tables; those requests are refused, never half done.
"""

from pydra_testbed.api._context import DEFAULT_GATES, CelCheck
from pydra_testbed.api.faults import Faults
from pydra_testbed.api.kubeconfig import write_kubeconfig
from pydra_testbed.api.local import LocalApi
from pydra_testbed.api.logs import LogSource
from pydra_testbed.api.server import ApiServer

__all__ = [
    "DEFAULT_GATES",
    "ApiServer",
    "CelCheck",
    "Faults",
    "LocalApi",
    "LogSource",
    "write_kubeconfig",
]
