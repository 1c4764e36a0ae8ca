"""Patch documents applied to an object that is there: JSON patch, JSON merge patch, strategic merge patch.

Which of them a kind takes is answered here too; apply configurations are `_patching`'s.
"""

from __future__ import annotations

import copy
from typing import Any

from pydra_testbed.api._apply.ownership import request_type
from pydra_testbed.api._json_patches import json_patched
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._problems import bad_request
from pydra_testbed.api._strategic import strategic
from pydra_testbed.objects import KubeObject, Patch

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def accepted(kind: Kind) -> tuple[str, ...]:
    """The formats a kind takes: a custom resource has no strategic merge patch."""
    return (JSON, MERGE, APPLY) if kind.definition else (JSON, MERGE, STRATEGIC, APPLY)


def apply_patch(kind: Kind, obj: KubeObject, document: Patch) -> KubeObject:
    """The patched object; `obj` stays as it is.

    Raises:
        ApiStatusError: 400 for a malformed patch, 422 for a JSON patch that does not fit the object.
    """
    if document.content_type == JSON:
        return json_patched(obj, document.body)
    if not isinstance(document.body, dict):
        raise bad_request("error decoding patch: json: cannot unmarshal into a JSON object")
    if document.content_type == STRATEGIC:
        return strategic(obj, document.body, request_type(kind))
    merged: KubeObject = merge(obj, document.body)
    return merged


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result
