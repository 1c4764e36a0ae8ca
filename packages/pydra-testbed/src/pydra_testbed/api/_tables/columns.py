"""What each kind shows, as Kubernetes' printers do; kinds without an entry show name and age."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._tables.ages import UNKNOWN, age, lasted
from pydra_testbed.api._tables.jsonpath import found
from pydra_testbed.api._tables.model import (
    AGE,
    NAME,
    Cell,
    TableColumn,
    at,
    count,
    number,
    of,
)
from pydra_testbed.api._tables.pods import POD_COLUMNS
from pydra_testbed.objects import KubeObject

_NONE = "<none>"
_ROLE = "node-role.kubernetes.io/"


def _node_status(node: KubeObject, _now: datetime) -> str:
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = [entry.get("status") for entry in conditions if entry.get("type") == "Ready"]
    told = "Unknown" if not ready else ("Ready" if ready[0] == "True" else "NotReady")
    return f"{told},SchedulingDisabled" if at(node, "spec.unschedulable") else told


def _node_roles(node: KubeObject, _now: datetime) -> str:
    labels = node["metadata"].get("labels") or {}
    roles = sorted(key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE))
    return ",".join(filter(None, roles)) or _NONE


def _address(kind: str) -> Cell:
    def cell(node: KubeObject, _now: datetime) -> str:
        addresses = (node.get("status") or {}).get("addresses") or ()
        return next((str(a["address"]) for a in addresses if a.get("type") == kind), _NONE)

    return cell


def _claim_state(claim: KubeObject, _now: datetime) -> str:
    leaving = bool(claim["metadata"].get("deletionTimestamp"))
    states = ["deleted"] if leaving else []
    if at(claim, "status.allocation"):
        states.append("allocated")
        states += ["reserved"] if at(claim, "status.reservedFor") else []
    elif not leaving:
        states.append("pending")
    return ",".join(states)


def _event_object(event: KubeObject, _now: datetime) -> str:
    about = event.get("involvedObject") or event.get("regarding") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _event_last_seen(event: KubeObject, now: datetime) -> str:
    times = ("series.lastObservedTime", "lastTimestamp", "deprecatedLastTimestamp", "eventTime")
    return _first_age(event, times, now)


def _event_first_seen(event: KubeObject, now: datetime) -> str:
    return _first_age(event, ("firstTimestamp", "deprecatedFirstTimestamp", "eventTime"), now)


def _first_age(obj: KubeObject, paths: tuple[str, ...], now: datetime) -> str:
    return next((age(at(obj, path), now) for path in paths if at(obj, path)), UNKNOWN)


def _event_source(event: KubeObject, _now: datetime) -> str:
    source = event.get("source") or event.get("deprecatedSource") or {}
    parts = (
        source.get("component") or event.get("reportingComponent"),
        source.get("host") or event.get("reportingInstance"),
    )
    return ", ".join(str(part) for part in parts if part)


def _containers(field: str) -> Cell:
    def cell(obj: KubeObject, _now: datetime) -> str:
        containers = at(obj, "spec.template.spec.containers") or ()
        return ",".join(str(entry.get(field, "")) for entry in containers)

    return cell


def _labels(path: str) -> Cell:
    def cell(obj: KubeObject, _now: datetime) -> str:
        return ",".join(f"{key}={value}" for key, value in (at(obj, path) or {}).items()) or _NONE

    return cell


def _deployment_ready(obj: KubeObject, _now: datetime) -> str:
    return f"{at(obj, 'status.readyReplicas') or 0}/{at(obj, 'spec.replicas') or 0}"


def _job_status(obj: KubeObject, _now: datetime) -> str:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    on = {entry.get("type") for entry in conditions if entry.get("status") == "True"}
    for kind, told in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if kind in on:
            return told
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else "Running"


def _job_completions(obj: KubeObject, _now: datetime) -> str:
    return f"{at(obj, 'status.succeeded') or 0}/{at(obj, 'spec.completions') or 1}"


def _job_duration(obj: KubeObject, now: datetime) -> str:
    start, end = at(obj, "status.startTime"), at(obj, "status.completionTime")
    if not start:
        return ""
    until = datetime.fromisoformat(end) if end else now
    return lasted((until - datetime.fromisoformat(start)).total_seconds())


_WIDE = (
    TableColumn("Containers", _containers("name"), priority=1),
    TableColumn("Images", _containers("image"), priority=1),
    TableColumn("Selector", _labels("spec.selector.matchLabels"), priority=1),
)


def _count(name: str, path: str) -> TableColumn:
    return TableColumn(name, number(path), "integer")


_CREATED = TableColumn("Created At", of("metadata.creationTimestamp"), format="date")

_BY_KIND: Mapping[str, tuple[TableColumn, ...]] = {
    "ConfigMap": (NAME, TableColumn("Data", count("data"), "integer"), AGE),
    "CustomResourceDefinition": (NAME, _CREATED),
    "DaemonSet": (
        NAME,
        _count("Desired", "status.desiredNumberScheduled"),
        _count("Current", "status.currentNumberScheduled"),
        _count("Ready", "status.numberReady"),
        _count("Up-to-date", "status.updatedNumberScheduled"),
        _count("Available", "status.numberAvailable"),
        TableColumn("Node Selector", _labels("spec.template.spec.nodeSelector")),
        AGE,
        *_WIDE,
    ),
    "Deployment": (
        NAME,
        TableColumn("Ready", _deployment_ready),
        _count("Up-to-date", "status.updatedReplicas"),
        _count("Available", "status.availableReplicas"),
        AGE,
        *_WIDE,
    ),
    "Event": (
        TableColumn("Last Seen", _event_last_seen),
        TableColumn("Type", of("type")),
        TableColumn("Reason", of("reason")),
        TableColumn("Object", _event_object),
        TableColumn("Subobject", of("involvedObject.fieldPath"), priority=1),
        TableColumn("Source", _event_source, priority=1),
        TableColumn(
            "Message", lambda obj, _now: str(obj.get("message") or obj.get("note") or "").strip()
        ),
        TableColumn("First Seen", _event_first_seen, priority=1),
        TableColumn("Count", lambda obj, _now: obj.get("count") or 1, "integer", priority=1),
        TableColumn("Name", of("metadata.name"), format="name", priority=1),
    ),
    "Job": (
        NAME,
        TableColumn("Status", _job_status),
        TableColumn("Completions", _job_completions),
        TableColumn("Duration", _job_duration),
        AGE,
        *_WIDE,
    ),
    "Lease": (NAME, TableColumn("Holder", of("spec.holderIdentity")), AGE),
    "Namespace": (NAME, TableColumn("Status", of("status.phase")), AGE),
    "Node": (
        NAME,
        TableColumn("Status", _node_status),
        TableColumn("Roles", _node_roles),
        AGE,
        TableColumn("Version", of("status.nodeInfo.kubeletVersion")),
        TableColumn("Internal-IP", _address("InternalIP"), priority=1),
        TableColumn("External-IP", _address("ExternalIP"), priority=1),
        TableColumn("OS-Image", of("status.nodeInfo.osImage", UNKNOWN), priority=1),
        TableColumn("Kernel-Version", of("status.nodeInfo.kernelVersion", UNKNOWN), priority=1),
        TableColumn(
            "Container-Runtime", of("status.nodeInfo.containerRuntimeVersion", UNKNOWN), priority=1
        ),
    ),
    "Pod": POD_COLUMNS,
    "ReplicaSet": (
        NAME,
        _count("Desired", "spec.replicas"),
        _count("Current", "status.replicas"),
        _count("Ready", "status.readyReplicas"),
        AGE,
        *_WIDE,
    ),
    "ResourceClaim": (NAME, TableColumn("State", _claim_state), AGE),
    "ResourceSlice": (
        NAME,
        TableColumn("Node", of("spec.nodeName", "<unset>")),
        TableColumn("Driver", of("spec.driver")),
        TableColumn("Pool", of("spec.pool.name")),
        AGE,
    ),
    "Secret": (
        NAME,
        TableColumn("Type", of("type")),
        TableColumn("Data", count("data"), "integer"),
        AGE,
    ),
    "ServiceAccount": (NAME, TableColumn("Secrets", count("secrets"), "integer"), AGE),
}


def columns_of(kind: Kind) -> tuple[TableColumn, ...]:
    """The columns of a kind; a custom resource's are its definition's."""
    if kind.definition is None:
        return _BY_KIND.get(kind.kind, (NAME, AGE))
    if not kind.definition.columns:
        return (NAME, AGE)
    own = (
        TableColumn(
            column.name,
            _custom(column.type, column.path),
            column.type,
            description=column.description,
            priority=column.priority,
        )
        for column in kind.definition.columns
    )
    return (NAME, *own)


def _custom(kind: str, path: str) -> Cell:
    def cell(obj: KubeObject, now: datetime) -> Any:
        values = found(obj, path)
        if kind == "date":
            return age(values[0], now) if values else UNKNOWN
        if not values:
            return None
        if kind in {"integer", "number", "boolean"}:
            return values[0]
        return ",".join(_text(value) for value in values)

    return cell


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
