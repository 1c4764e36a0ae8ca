"""Controllers of the testbed: what a real cluster's controller manager does, as far as devices meet it.

`ALL` is what a cluster starts.
"""

from pydra_testbed.controllers.base import Controller
from pydra_testbed.controllers.claims import ClaimController
from pydra_testbed.controllers.daemonsets import DaemonSetController
from pydra_testbed.controllers.deployments import DeploymentController
from pydra_testbed.controllers.devicetaints import DeviceTaintEviction
from pydra_testbed.controllers.garbage import GarbageCollector
from pydra_testbed.controllers.jobs import JobController
from pydra_testbed.controllers.namespaces import NamespaceController
from pydra_testbed.controllers.nodes import NodeController
from pydra_testbed.controllers.nodetaints import NodeTaintEviction
from pydra_testbed.controllers.replicasets import ReplicaSetController

ALL = (
    ClaimController,
    GarbageCollector,
    NamespaceController,
    NodeController,
    NodeTaintEviction,
    DeviceTaintEviction,
    DaemonSetController,
    DeploymentController,
    ReplicaSetController,
    JobController,
)
"""Every controller; each is made with the API and the clock and has `run()`."""

__all__ = [
    "ALL",
    "ClaimController",
    "Controller",
    "DaemonSetController",
    "DeploymentController",
    "DeviceTaintEviction",
    "GarbageCollector",
    "JobController",
    "NamespaceController",
    "NodeController",
    "NodeTaintEviction",
    "ReplicaSetController",
]
