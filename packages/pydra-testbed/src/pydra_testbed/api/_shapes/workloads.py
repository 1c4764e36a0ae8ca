"""What the testbed reads of DaemonSets, Deployments, ReplicaSets and Jobs; other fields pass through as sent."""

from __future__ import annotations

from pydra_testbed.api._shapes.meta import OBJECT_META, root
from pydra_testbed.api._shapes.pods import POD
from pydra_testbed.api._shapes.types import (
    BOOL,
    INT32,
    INT64,
    STRING,
    STRING_MAP,
    STRINGS,
    Field,
    ListOf,
    Shape,
    Struct,
    always,
    pointer,
    struct,
)

_REQUIREMENT = struct(
    "LabelSelectorRequirement",
    {"key": always(STRING), "operator": always(STRING), "values": STRINGS},
)
_SELECTOR = struct(
    "LabelSelector", {"matchLabels": STRING_MAP, "matchExpressions": ListOf(_REQUIREMENT)}
)
_TEMPLATE = struct(
    "PodTemplateSpec",
    {"metadata": pointer(OBJECT_META), "spec": pointer(POD.fields["spec"].shape)},
)
_STRATEGY = struct(
    "UpdateStrategy",
    {
        "type": STRING,
        "rollingUpdate": pointer(struct("RollingUpdate", {}, open_=True)),
    },
)
_CONDITION = struct("Condition", {"type": always(STRING), "status": always(STRING)}, open_=True)


def workload(kind: str) -> Struct:
    """The field table of one kind of workload."""
    spec: dict[str, Shape | Field] = {
        "replicas": pointer(INT32),
        "selector": pointer(_SELECTOR),
        "template": pointer(_TEMPLATE),
        "strategy": pointer(_STRATEGY),
        "updateStrategy": pointer(_STRATEGY),
        "parallelism": pointer(INT32),
        "completions": pointer(INT32),
        "backoffLimit": pointer(INT32),
        "activeDeadlineSeconds": pointer(INT64),
        "suspend": pointer(BOOL),
        "paused": BOOL,
        "minReadySeconds": INT32,
        "revisionHistoryLimit": pointer(INT32),
        "progressDeadlineSeconds": pointer(INT32),
    }
    status = struct(f"{kind}Status", {"conditions": ListOf(_CONDITION, keys=("type",))}, open_=True)
    return root(kind, {"spec": struct(f"{kind}Spec", spec, open_=True), "status": pointer(status)})
