"""Every right a driver uses, with the feature that needs it and the rule that grants it.

What is needed depends on what the driver does: one that watches no health writes no status. `reviews` asks for them;
charts and guides are held to them by tests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydra_core.driver import Driver

_GROUP = "resource.k8s.io"
_FINER = (1, 36)
"""From here on a driver's entries in a claim's status need a right of their own (KEP-4817)."""
_HERE, _ANYWHERE = "associated-node:patch", "arbitrary-node:patch"
PREPARE, SLICES, EVENTS, STATUS, GONE, TURNS = (
    "preparing claims",
    "publishing slices",
    "telling the operator by events",
    "telling claims of their devices' health",
    "removing devices that no claim has",
    "writing by turns with other instances",
)
"""The features that need rights."""


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource, and the feature that needs it.

    Attributes:
        group: The API group; the core group is the empty text.
        resource: Also with a subresource, like `resourceclaims/status`.
        name: Of one object; empty for all.
        namespace: Of the object; empty for all, which a ClusterRole grants.
        instead: Another verb that does as well.
        since: The Kubernetes version that first asks for it.
    """

    group: str
    resource: str
    verb: str
    feature: str
    name: str = ""
    namespace: str = ""
    instead: str = ""
    since: tuple[int, int] = (0, 0)

    @property
    def check(self) -> str:
        """The row of the table."""
        return f"rbac: {self.verb} {self.resource}"

    @property
    def role(self) -> str:
        """What grants it."""
        return f"Role in namespace {self.namespace}" if self.namespace else "ClusterRole"

    @property
    def rule(self) -> str:
        """The rule for that role, as YAML."""
        group = self.group or '""'
        names = f"\n  resourceNames: [{self.name}]" if self.name else ""
        return f"- apiGroups: [{group}]\n  resources: [{self.resource}]{names}\n  verbs: ['{self.verb}']"


_PUBLISH = tuple(
    Right(_GROUP, "resourceslices", verb, SLICES)
    for verb in ("list", "watch", "create", "update", "delete")
)
RIGHTS = (
    Right(_GROUP, "resourceclaims", "get", PREPARE),
    *_PUBLISH,
    Right("", "nodes", "get", SLICES),
    *(Right("", "events", verb, EVENTS) for verb in ("create", "patch")),
)
"""What every driver on a node uses: it reads claims one by one, keeps its slices, and reads its node's UID."""


def rights_of(driver: type[Driver]) -> tuple[Right, ...]:
    """All that this driver uses on a node."""
    if driver.watch_health is Driver.watch_health:
        return RIGHTS
    status = Right(_GROUP, "resourceclaims/status", "patch", STATUS)
    anywhere = Right(
        _GROUP, "resourceclaims/driver", _ANYWHERE, STATUS, name=driver.name, since=_FINER
    )
    if driver.cluster_pools is not Driver.cluster_pools:  # their claims are bound to no node
        return (*RIGHTS, status, anywhere)
    return (*RIGHTS, status, replace(anywhere, verb=_HERE, instead=_ANYWHERE))


def rights_to_publish(driver: type[Driver], namespace: str) -> tuple[Right, ...]:
    """All that `publish` uses, away from the nodes, with its Lease in `namespace`."""
    group, leases, name = "coordination.k8s.io", "leases", f"{driver.name}-publish"
    return (
        *_PUBLISH,
        Right(_GROUP, "resourceclaims", "list", GONE),
        Right(group, leases, "create", TURNS, namespace=namespace),
        *(
            Right(group, leases, v, TURNS, name=name, namespace=namespace)
            for v in ("get", "update")
        ),
    )
