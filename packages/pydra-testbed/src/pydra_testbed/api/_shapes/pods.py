"""The part of a Pod that the testbed's components read; every other field passes through as sent."""

from __future__ import annotations

from pydra_testbed.api._shapes.meta import root
from pydra_testbed.api._shapes.types import (
    INT64,
    QUANTITY,
    STRING,
    STRING_MAP,
    ListOf,
    MapOf,
    always,
    pointer,
    struct,
)

_QUANTITIES = MapOf(QUANTITY, "v1.ResourceName")
_RESOURCES = struct(
    "ResourceRequirements",
    {
        "limits": _QUANTITIES,
        "requests": _QUANTITIES,
        "claims": ListOf(
            struct("ResourceClaim", {"name": always(STRING), "request": STRING}), keys=("name",)
        ),
    },
)
_CONTAINERS = ListOf(
    struct("Container", {"name": always(STRING), "resources": _RESOURCES}, open_=True),
    keys=("name",),
)
_CLAIM_ENTRY = struct(
    "PodResourceClaim",
    {
        "name": always(STRING),
        "resourceClaimName": pointer(STRING),
        "resourceClaimTemplateName": pointer(STRING),
    },
)
_CLAIM_STATUS = struct(
    "PodResourceClaimStatus", {"name": always(STRING), "resourceClaimName": pointer(STRING)}
)

POD = root(
    "Pod",
    {
        "spec": struct(
            "PodSpec",
            {
                "containers": always(_CONTAINERS),
                "initContainers": _CONTAINERS,
                "resourceClaims": ListOf(_CLAIM_ENTRY, keys=("name",)),
                "nodeSelector": STRING_MAP,
                "nodeName": STRING,
                "restartPolicy": STRING,
                "schedulerName": STRING,
                "terminationGracePeriodSeconds": pointer(INT64),
                "resources": pointer(_RESOURCES),
            },
            open_=True,
        ),
        "status": struct(
            "PodStatus",
            {
                "phase": STRING,
                "resourceClaimStatuses": ListOf(_CLAIM_STATUS, keys=("name",)),
            },
            open_=True,
        ),
    },
)
