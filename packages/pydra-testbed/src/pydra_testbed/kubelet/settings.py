"""The kubelet's periods, deadlines and directories; the defaults are those of kubelet 1.36.

Everything is in seconds on the kubelet's clock. A demo shortens `reconcile_period`, tests move the
clock instead.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path


class TopologyPolicy(enum.Enum):
    """What the topology manager does about NUMA nodes (`topologyManagerPolicy`)."""

    NONE = "none"
    BEST_EFFORT = "best-effort"
    RESTRICTED = "restricted"
    SINGLE_NUMA_NODE = "single-numa-node"


class TopologyScope(enum.Enum):
    """For whom the topology manager chooses NUMA nodes at once (`topologyManagerScope`)."""

    CONTAINER = "container"
    POD = "pod"


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """Times as measured on a real kubelet; change only to make a demo quicker."""

    reconcile_period: float = 1.0
    """Between two looks at plugins_registry."""

    pods_after: float = 1.8
    """From start to the first pod, sooner once the drivers that were there are registered."""

    dial_timeout: float = 10.0
    info_timeout: float = 1.0
    notify_timeout: float = 5.0
    call_timeout: float = 45.0
    """Deadline of NodePrepareResources and NodeUnprepareResources."""

    health_retry: float = 5.0
    """From the end of a health stream to the next attempt to open it."""

    health_timeout: float = 30.0
    """After this a device of which nothing was heard is Unknown, unless its driver set another time."""

    registration_backoff: float = 0.5
    registration_backoff_cap: float = 122.0
    wipe_delay: float = 30.0
    """From the loss of a driver's last connection to the deletion of its slices."""

    resync_period: float = 60.0
    resync_jitter: float = 0.5
    """A pod whose prepare failed is tried again after `resync_period` x (1 .. 1 + jitter)."""

    sync_backoff: float = 10.0
    sync_jitter: float = 0.5
    """The same for unprepare and for containers that cannot be created."""

    claims_period: float = 60.0
    """Between two looks for claims whose pods are gone."""

    crash_backoff: float = 10.0
    crash_backoff_cap: float = 300.0
    crash_reset: float = 600.0
    heartbeat_period: float = 10.0
    """Between two renewals of the node's Lease."""

    node_status_period: float = 300.0
    node_update_period: float = 10.0
    """A change of the node's extended resources is posted at the next multiple of this since the start."""

    topology_policy: TopologyPolicy = TopologyPolicy.NONE
    topology_scope: TopologyScope = TopologyScope.CONTAINER
    numa_nodes: int = 1
    """How many NUMA nodes the machine has. With more than `max_numa_nodes` and any policy but `none`, the kubelet does
    not start."""

    max_numa_nodes: int = 8
    """Option `max-allowable-numa-nodes` of the topology manager, 8 at least."""

    numa_distances: tuple[tuple[int, ...], ...] = ()
    """For each NUMA node the distance to each, as the machine's tables say. Where given, option
    `prefer-closest-numa-nodes` is on: of as many nodes, those that are nearest to each other."""

    max_pods: int = 110
    append_devices: bool = True
    """Record devices again on every successful answer, as kubelet 1.36 does (a known bug of it):
    after a partly failed prepare or a restart, CDI device IDs reach the runtime twice."""


@dataclass(frozen=True, slots=True)
class KubeletPaths:
    """The directories below the kubelet's root that drivers know (`/var/lib/kubelet` on a node)."""

    root: Path

    @property
    def registry(self) -> Path:
        """Where drivers put their registration sockets."""
        return self.root / "plugins_registry"

    @property
    def plugins(self) -> Path:
        """Where drivers keep their service sockets and state."""
        return self.root / "plugins"

    @property
    def device_plugins(self) -> Path:
        """Where device plugins put their sockets and find the kubelet's."""
        return self.root / "device-plugins"

    @property
    def pod_resources(self) -> Path:
        """Where the kubelet answers who holds which device."""
        return self.root / "pod-resources"

    @property
    def claims_file(self) -> Path:
        """The kubelet's own record of prepared claims."""
        return self.root / "dra_manager_state"

    def create(self) -> None:
        """Make the directories that must be there before a driver starts."""
        ours = (self.device_plugins, self.pod_resources)
        for folder in (self.root, self.registry, self.plugins, *ours):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
