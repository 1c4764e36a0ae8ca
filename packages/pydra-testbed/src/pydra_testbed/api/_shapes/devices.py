"""Field tables of resource.k8s.io/v1: what drivers publish (ResourceSlice)."""

from __future__ import annotations

from pydra_testbed.api._shapes.meta import CONDITION, root
from pydra_testbed.api._shapes.types import (
    BOOL,
    INT64,
    QUANTITY,
    STRING,
    STRINGS,
    TIME,
    ListOf,
    MapOf,
    always,
    pointer,
    struct,
)

_NAME_KEY = "v1.QualifiedName"

_NODE_REQUIREMENT = struct(
    "NodeSelectorRequirement",
    {"key": always(STRING), "operator": always(STRING), "values": STRINGS},
)
NODE_SELECTOR = struct(
    "NodeSelector",
    {
        "nodeSelectorTerms": always(
            ListOf(
                struct(
                    "NodeSelectorTerm",
                    {
                        "matchExpressions": ListOf(_NODE_REQUIREMENT),
                        "matchFields": ListOf(_NODE_REQUIREMENT),
                    },
                )
            )
        )
    },
)

ATTRIBUTE = struct(
    "DeviceAttribute",
    {
        "int": pointer(INT64),
        "bool": pointer(BOOL),
        "string": pointer(STRING),
        "version": pointer(STRING),
        "ints": ListOf(INT64),
        "bools": ListOf(BOOL),
        "strings": STRINGS,
        "versions": STRINGS,
    },
)
_RANGE = struct(
    "CapacityRequestPolicyRange",
    {"min": pointer(QUANTITY), "max": pointer(QUANTITY), "step": pointer(QUANTITY)},
)
_POLICY = struct(
    "CapacityRequestPolicy",
    {
        "default": pointer(QUANTITY),
        "validValues": ListOf(QUANTITY),
        "validRange": pointer(_RANGE),
    },
)
_CAPACITY = struct("DeviceCapacity", {"value": always(QUANTITY), "requestPolicy": pointer(_POLICY)})
_COUNTERS = MapOf(struct("Counter", {"value": always(QUANTITY)}))
_TAINT = struct(
    "DeviceTaint",
    {
        "key": always(STRING),
        "value": STRING,
        "effect": always(STRING),
        "timeAdded": pointer(TIME),
    },
)
_NODE_ALLOCATABLE = struct(
    "NodeAllocatableResourceMapping",
    {"capacityKey": pointer(STRING), "allocationMultiplier": pointer(QUANTITY)},
)

DEVICE = struct(
    "Device",
    {
        "name": always(STRING),
        "attributes": MapOf(ATTRIBUTE, _NAME_KEY),
        "capacity": MapOf(_CAPACITY, _NAME_KEY),
        "consumesCounters": ListOf(
            struct(
                "DeviceCounterConsumption",
                {"counterSet": always(STRING), "counters": always(_COUNTERS)},
            )
        ),
        "nodeName": pointer(STRING),
        "nodeSelector": pointer(NODE_SELECTOR),
        "allNodes": pointer(BOOL),
        "taints": ListOf(_TAINT),
        "bindsToNode": pointer(BOOL),
        "bindingConditions": STRINGS,
        "bindingFailureConditions": STRINGS,
        "allowMultipleAllocations": pointer(BOOL),
        "nodeAllocatableResourceMappings": MapOf(_NODE_ALLOCATABLE, "v1.ResourceName"),
    },
)

RESOURCE_SLICE = root(
    "ResourceSlice",
    {
        "spec": struct(
            "ResourceSliceSpec",
            {
                "driver": always(STRING),
                "pool": struct(
                    "ResourcePool",
                    {
                        "name": always(STRING),
                        "generation": always(INT64),
                        "resourceSliceCount": always(INT64),
                    },
                ),
                "nodeName": pointer(STRING),
                "nodeSelector": pointer(NODE_SELECTOR),
                "allNodes": pointer(BOOL),
                "devices": ListOf(DEVICE),
                "perDeviceNodeSelection": pointer(BOOL),
                "sharedCounters": ListOf(
                    struct("CounterSet", {"name": always(STRING), "counters": always(_COUNTERS)})
                ),
            },
        )
    },
)

DEVICE_TAINT_RULE = root(
    "DeviceTaintRule",
    {
        "spec": struct(
            "DeviceTaintRuleSpec",
            {
                "deviceSelector": pointer(
                    struct(
                        "DeviceTaintSelector",
                        {
                            "driver": pointer(STRING),
                            "pool": pointer(STRING),
                            "device": pointer(STRING),
                        },
                    )
                ),
                "taint": _TAINT,
            },
        ),
        "status": struct(
            "DeviceTaintRuleStatus", {"conditions": ListOf(CONDITION, keys=("type",))}
        ),
    },
)
