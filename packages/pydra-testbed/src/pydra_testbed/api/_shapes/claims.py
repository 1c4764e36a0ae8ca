"""Field tables of resource.k8s.io/v1: what users ask for and get (claims, templates, classes)."""

from __future__ import annotations

from pydra_testbed.api._shapes.devices import NODE_SELECTOR
from pydra_testbed.api._shapes.meta import CONDITION, OBJECT_META, root
from pydra_testbed.api._shapes.types import (
    BOOL,
    INT64,
    QUANTITY,
    RAW,
    STRING,
    STRINGS,
    TIME,
    Field,
    ListOf,
    MapOf,
    Shape,
    always,
    pointer,
    struct,
)

_NAME_KEY = "v1.QualifiedName"

_SELECTORS = ListOf(
    struct(
        "DeviceSelector",
        {"cel": pointer(struct("CELDeviceSelector", {"expression": always(STRING)}))},
    )
)
_TOLERATIONS = ListOf(
    struct(
        "DeviceToleration",
        {
            "key": STRING,
            "operator": STRING,
            "value": STRING,
            "effect": STRING,
            "tolerationSeconds": pointer(INT64),
        },
    )
)
_CAPACITY_REQUESTS = struct("CapacityRequirements", {"requests": MapOf(QUANTITY, _NAME_KEY)})
_OPAQUE = struct("OpaqueDeviceConfiguration", {"driver": always(STRING), "parameters": always(RAW)})

_SHARED_REQUEST: dict[str, Shape | Field] = {
    "deviceClassName": always(STRING),
    "selectors": _SELECTORS,
    "allocationMode": STRING,
    "count": INT64,
}
_MORE_SHARED: dict[str, Shape | Field] = {
    "tolerations": _TOLERATIONS,
    "capacity": pointer(_CAPACITY_REQUESTS),
}
_EXACT = struct(
    "ExactDeviceRequest", _SHARED_REQUEST | {"adminAccess": pointer(BOOL)} | _MORE_SHARED
)
_SUB = struct("DeviceSubRequest", {"name": always(STRING)} | _SHARED_REQUEST | _MORE_SHARED)

CLAIM_SPEC = struct(
    "ResourceClaimSpec",
    {
        "devices": struct(
            "DeviceClaim",
            {
                "requests": always(
                    ListOf(
                        struct(
                            "DeviceRequest",
                            {
                                "name": always(STRING),
                                "exactly": pointer(_EXACT),
                                "firstAvailable": ListOf(_SUB),
                            },
                        )
                    )
                ),
                "constraints": ListOf(
                    struct(
                        "DeviceConstraint",
                        {
                            "requests": STRINGS,
                            "matchAttribute": pointer(STRING),
                            "distinctAttribute": pointer(STRING),
                        },
                    )
                ),
                "config": ListOf(
                    struct(
                        "DeviceClaimConfiguration",
                        {"requests": STRINGS, "opaque": pointer(_OPAQUE)},
                    )
                ),
            },
        )
    },
)

_RESULT = struct(
    "DeviceRequestAllocationResult",
    {
        "request": always(STRING),
        "driver": always(STRING),
        "pool": always(STRING),
        "device": always(STRING),
        "adminAccess": pointer(BOOL),
        "tolerations": _TOLERATIONS,
        "bindingConditions": STRINGS,
        "bindingFailureConditions": STRINGS,
        "shareID": pointer(STRING),
        "consumedCapacity": MapOf(QUANTITY, _NAME_KEY),
    },
)
ALLOCATION = struct(
    "AllocationResult",
    {
        "devices": struct(
            "DeviceAllocationResult",
            {
                "results": ListOf(_RESULT),
                "config": ListOf(
                    struct(
                        "DeviceAllocationConfiguration",
                        {
                            "source": always(STRING),
                            "requests": STRINGS,
                            "opaque": pointer(_OPAQUE),
                        },
                    )
                ),
            },
        ),
        "nodeSelector": pointer(NODE_SELECTOR),
        "allocationTimestamp": pointer(TIME),
    },
)
_CONSUMER = struct(
    "ResourceClaimConsumerReference",
    {
        "apiGroup": STRING,
        "resource": always(STRING),
        "name": always(STRING),
        "uid": always(STRING),
    },
)
_DEVICE_STATUS = struct(
    "AllocatedDeviceStatus",
    {
        "driver": always(STRING),
        "pool": always(STRING),
        "device": always(STRING),
        "shareID": pointer(STRING),
        "conditions": always(ListOf(CONDITION, keys=("type",))),
        "data": pointer(RAW),
        "networkData": pointer(
            struct(
                "NetworkDeviceData",
                {"interfaceName": STRING, "ips": STRINGS, "hardwareAddress": STRING},
            )
        ),
    },
)

RESOURCE_CLAIM = root(
    "ResourceClaim",
    {
        "spec": CLAIM_SPEC,
        "status": struct(
            "ResourceClaimStatus",
            {
                "allocation": pointer(ALLOCATION),
                "reservedFor": ListOf(_CONSUMER, keys=("uid",)),
                "devices": ListOf(_DEVICE_STATUS, keys=("driver", "device", "pool", "shareID")),
            },
        ),
    },
)
RESOURCE_CLAIM_TEMPLATE = root(
    "ResourceClaimTemplate",
    {
        "spec": struct("ResourceClaimTemplateSpec", {"metadata": OBJECT_META, "spec": CLAIM_SPEC}),
    },
)
DEVICE_CLASS = root(
    "DeviceClass",
    {
        "spec": struct(
            "DeviceClassSpec",
            {
                "selectors": _SELECTORS,
                "config": ListOf(struct("DeviceClassConfiguration", {"opaque": pointer(_OPAQUE)})),
                "extendedResourceName": pointer(STRING),
            },
        ),
    },
)
