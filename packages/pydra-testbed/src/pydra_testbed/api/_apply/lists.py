"""How lists and maps of built-in kinds merge, where their field tables do not say it.

Kubernetes' Go types carry this in tags (`+listType`, `+listMapKey`, `+mapType`, `patchMergeKey`). One line is
a path and what it merges by: field names (with a default after `=`), `set`, or `atomic`. Read by `builtin` for
server-side apply and by `_patches` for strategic merge patches.
"""

from __future__ import annotations

from collections.abc import Mapping

_CONTAINER = """
env name
env.valueFrom.configMapKeyRef atomic
env.valueFrom.fieldRef atomic
env.valueFrom.resourceFieldRef atomic
env.valueFrom.secretKeyRef atomic
ports containerPort,protocol=TCP
resources.claims name
volumeDevices devicePath
volumeMounts mountPath
"""
_POD_SPEC = """
affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution atomic
containers name
ephemeralContainers name
hostAliases ip
imagePullSecrets name
initContainers name
nodeSelector atomic
overhead map
resourceClaims name
schedulingGates name
topologySpreadConstraints topologyKey,whenUnsatisfiable
topologySpreadConstraints.labelSelector atomic
volumes name
"""
_META = """
finalizers set
ownerReferences uid
"""
_POD_STATUS = """
conditions type
hostIPs ip
podIPs ip
resourceClaimStatuses name
"""


def _under(prefix: str, table: str) -> str:
    return "".join(f"{prefix}.{line}\n" for line in table.split("\n") if line)


_CONTAINERS = "".join(
    _under(name, _CONTAINER) for name in ("containers", "initContainers", "ephemeralContainers")
)
_POD = _under("metadata", _META) + _under("spec", _POD_SPEC + _CONTAINERS)
_WORKLOAD = _under("metadata", _META) + _under("spec.template", _POD) + (
    "spec.selector atomic\nstatus.conditions type\n"
)  # fmt: skip

_TABLES: Mapping[str, str] = {
    "Pod": _POD + _under("status", _POD_STATUS),
    "Node": (
        "spec.configSource atomic\nspec.podCIDRs set\n"
        "status.addresses type\nstatus.conditions type\n"
    ),
    "Namespace": "status.conditions type\n",
    "Event": "involvedObject atomic\nrelated atomic\n",
    "ServiceAccount": "secrets name\n",
    "DaemonSet": _WORKLOAD,
    "Deployment": _WORKLOAD,
    "ReplicaSet": _WORKLOAD,
    "Job": _WORKLOAD,
    "ResourceClaim": "status.reservedFor uid\n",
}
_DEVICE_STATUS_LISTS = frozenset({"status.devices", "status.devices.conditions"})
"""Known by keys to server-side apply alone: a strategic merge patch replaces them."""


def merge_rules(kind: str) -> Mapping[str, str]:
    """From a path in a kind to what it merges by; every kind has its metadata's."""
    table = _under("metadata", _META) + _TABLES.get(kind, "")
    rules: dict[str, str] = {}
    for line in table.split("\n"):
        path, _, rule = line.partition(" ")
        if path:
            rules[path] = rule
    return rules


def keys_in(rule: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The keys of a rule, and the defaults of those that may be left out."""
    pairs = [part.partition("=") for part in rule.split(",")]
    return tuple(name for name, _, _ in pairs), {name: value for name, _, value in pairs if value}


def is_replaced_by_patch(path: str) -> bool:
    """Whether a strategic merge patch puts the whole list in place although it has keys."""
    return path in _DEVICE_STATUS_LISTS
