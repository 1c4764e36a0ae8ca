"""Field table of apiextensions.k8s.io/v1; schemas pass through it and are judged by `_custom.wellformed`."""

from __future__ import annotations

from pydra_testbed.api._shapes.meta import root
from pydra_testbed.api._shapes.types import (
    BOOL,
    INT32,
    RAW,
    STRING,
    STRINGS,
    ListOf,
    always,
    pointer,
    struct,
)

_NAMES = struct(
    "CustomResourceDefinitionNames",
    {
        "plural": always(STRING),
        "singular": STRING,
        "shortNames": STRINGS,
        "kind": always(STRING),
        "listKind": STRING,
        "categories": STRINGS,
    },
)
_COLUMN = struct(
    "CustomResourceColumnDefinition",
    {
        "name": always(STRING),
        "type": always(STRING),
        "format": STRING,
        "description": STRING,
        "priority": INT32,
        "jsonPath": always(STRING),
    },
)
_SCALE = struct(
    "CustomResourceSubresourceScale",
    {
        "specReplicasPath": always(STRING),
        "statusReplicasPath": always(STRING),
        "labelSelectorPath": pointer(STRING),
    },
)
_VERSION = struct(
    "CustomResourceDefinitionVersion",
    {
        "name": always(STRING),
        "served": always(BOOL),
        "storage": always(BOOL),
        "deprecated": BOOL,
        "deprecationWarning": pointer(STRING),
        "schema": pointer(struct("CustomResourceValidation", {"openAPIV3Schema": RAW})),
        "subresources": pointer(
            struct(
                "CustomResourceSubresources",
                {"status": pointer(struct("Status", {})), "scale": pointer(_SCALE)},
            )
        ),
        "additionalPrinterColumns": ListOf(_COLUMN),
        "selectableFields": ListOf(struct("SelectableField", {"jsonPath": always(STRING)})),
    },
)
_CONVERSION = struct(
    "CustomResourceConversion",
    {"strategy": always(STRING), "webhook": pointer(struct("WebhookConversion", {}, open_=True))},
)
_CONDITION = struct(
    "CustomResourceDefinitionCondition",
    {
        "type": always(STRING),
        "status": always(STRING),
        "observedGeneration": pointer(INT32),
        "lastTransitionTime": STRING,
        "reason": STRING,
        "message": STRING,
    },
)

DEFINITION = root(
    "CustomResourceDefinition",
    {
        "spec": struct(
            "CustomResourceDefinitionSpec",
            {
                "group": always(STRING),
                "names": _NAMES,
                "scope": always(STRING),
                "versions": always(ListOf(_VERSION)),
                "conversion": pointer(_CONVERSION),
                "preserveUnknownFields": BOOL,
            },
        ),
        "status": pointer(
            struct(
                "CustomResourceDefinitionStatus",
                {
                    "conditions": ListOf(_CONDITION, keys=("type",)),
                    "acceptedNames": pointer(_NAMES),
                    "storedVersions": STRINGS,
                },
            )
        ),
    },
)
