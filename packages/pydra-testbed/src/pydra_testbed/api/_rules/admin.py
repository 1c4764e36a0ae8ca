"""Access for administrators needs a namespace that is labelled for it (KEP-5018)."""

from __future__ import annotations

from pydra_testbed.api._causes import Causes, forbidden
from pydra_testbed.api._context import Context
from pydra_testbed.objects import KubeObject

ADMIN_LABEL = "resource.kubernetes.io/admin-access"


def admin_label_missing(field: str, context: Context) -> Causes:
    """The refusal of a field that asks for administrators' access, if the namespace has no such label."""
    if context.namespace_labels.get(ADMIN_LABEL) == "true":
        return []
    detail = (
        f"admin access to devices requires the `{ADMIN_LABEL}: true` label "
        "on the containing namespace"
    )
    return [forbidden(field, detail)]


def admin_requests(field: str, spec: KubeObject, context: Context) -> Causes:
    """Only the first request that asks is reported."""
    for index, request in enumerate(spec.get("devices", {}).get("requests") or ()):
        if (request.get("exactly") or {}).get("adminAccess"):
            path = f"{field}.devices.requests[{index}].adminAccess"
            return admin_label_missing(path, context)
    return []
