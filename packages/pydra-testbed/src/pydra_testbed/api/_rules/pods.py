"""Pods, as far as devices go: claims, the containers that use them, extended resources.

The rest of a Pod is accepted as sent; what may change later follows Kubernetes.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from pydra_core.quantity import NANO, parse
from pydra_testbed.api._causes import Causes, duplicate, forbidden, invalid, not_found, required
from pydra_testbed.api._context import Context
from pydra_testbed.api._names import dns_subdomain, is_extended_resource, label, subdomain
from pydra_testbed.api._rules.lists import each, repeated
from pydra_testbed.api._rules.meta import metadata, metadata_update
from pydra_testbed.objects import KubeObject

# Names a class itself, where no class says which resource it serves.
_CLASS_RESOURCE = "deviceclass.resource.kubernetes.io/"
_CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
    "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
    "(allow it to be set to 1 if it was previously negative)"
)
_CONTAINERS = ("initContainers", "containers")


def new_pod(obj: KubeObject, _context: Context) -> Causes:
    found = metadata(obj, namespaced=True, name_check=dns_subdomain)
    spec = obj.get("spec", {})
    claims = spec.get("resourceClaims") or []
    names = [entry.get("name", "") for entry in claims]
    found += _claim_entries(claims)
    if not spec.get("containers"):
        found.append(required("spec.containers"))
    for group in reversed(_CONTAINERS):
        containers = spec.get(group) or []
        found += each(f"spec.{group}", containers, -1, partial(_container, names))
        found += _doubles(f"spec.{group}", [item.get("name", "") for item in containers])
    if (spec.get("resources") or {}).get("claims"):
        detail = "claims may not be set for Resources at pod-level"
        found.append(forbidden("spec.resources.claims", detail))
    return found


def _doubles(field: str, names: list[str]) -> Causes:
    """Duplicates are reported at the entry's name; empty names have their own complaint."""
    return [
        type(cause)(f"{cause.field}.name", cause.reason, cause.message)
        for cause in repeated(field, names)
        if names[int(cause.field.rpartition("[")[2].rstrip("]"))]
    ]


def _claim_entries(claims: list[KubeObject]) -> Causes:
    """The pod's claims; a name counts once it was seen, whatever is wrong with it.

    Pod and claim may have any length together: the name of a claim made from a template is cut.
    """
    found: Causes = []
    seen: set[str] = set()
    for index, entry in enumerate(claims):
        field, name = f"spec.resourceClaims[{index}]", entry.get("name", "")
        if not name:
            found.append(required(f"{field}.name"))
        elif name in seen:
            found.append(duplicate(f"{field}.name", name))
        else:
            found += label(f"{field}.name", name)
            seen.add(name)
        found += _claim_entry(field, entry)
    return found


def _claim_entry(field: str, entry: KubeObject) -> Causes:
    name = entry.get("name", "")
    found: Causes = []
    claim, template = entry.get("resourceClaimName"), entry.get("resourceClaimTemplateName")
    shown = {
        "Name": name,
        "ResourceClaimName": claim,
        "ResourceClaimTemplateName": template,
    }
    both = "`resourceClaimName` or `resourceClaimTemplateName`"
    if claim is None and template is None:
        detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
        found.append(invalid(field, shown, detail))
    elif claim is not None and template is not None:
        found.append(invalid(field, shown, f"at most one of {both} may be specified"))
    for key in ("resourceClaimName", "resourceClaimTemplateName"):
        if entry.get(key) is not None:
            found += subdomain(f"{field}.{key}", entry[key])
    return found


def _container(claims: list[str], field: str, container: KubeObject) -> Causes:
    name = container.get("name", "")
    found = label(f"{field}.name", name) if name else [required(f"{field}.name")]
    resources = container.get("resources") or {}
    found += _amounts(f"{field}.resources", resources)
    return found + _uses(f"{field}.resources.claims", claims, resources.get("claims") or [])


def _uses(field: str, claims: list[str], used: list[KubeObject]) -> Causes:
    """A claim as a whole, or some of its requests, each once."""
    found: Causes = []
    seen: set[str] = set()
    for index, use in enumerate(used):
        path, name, request = f"{field}[{index}]", use.get("name", ""), use.get("request", "")
        if not name:
            found.append(required(path))
            continue
        if name not in seen and request:
            found += label(f"{path}.request", request)
        key = f"{name}/{request}" if request and name not in seen else name
        if key in seen or (not request and any(one.startswith(f"{name}/") for one in seen)):
            found.append(duplicate(path, key))
        else:
            seen.add(key)
        if name not in claims:
            detail = "must be one of the names in pod.spec.resourceClaims"
            known = f": {', '.join(sorted(set(claims)))}" if claims else " which is empty"
            found.append(not_found(path, name, detail + known))
    return found


def _amounts(field: str, resources: KubeObject) -> Causes:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    found: Causes = []
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, text in amounts.items():
            found += _amount(f"{field}.{part}[{name}]", name, text)
    for name, text in requests.items():
        found += _within(field, name, text, limits.get(name))
    return found


def _amount(field: str, name: str, text: str) -> Causes:
    amount = parse(text)
    if amount.sign() < 0:
        return [invalid(field, text, "must be greater than or equal to 0")]
    if is_extended_resource(name) and amount.nano % NANO:
        return [invalid(field, text, "must be an integer")]
    return []


def _within(field: str, name: str, text: str, limit: str | None) -> Causes:
    extended = is_extended_resource(name)
    if limit is None:
        detail = "Limit must be set for non overcommitable resources"
        return [required(f"{field}.limits", detail)] if extended else []
    wanted, most = parse(text), parse(limit)
    if extended and wanted != most:
        detail = f"must be equal to {name} limit of {limit}"
    elif wanted > most:
        detail = f"must be less than or equal to {name} limit of {limit}"
    else:
        return []
    return [invalid(f"{field}.requests", text, detail)]


def changed_pod(new: KubeObject, old: KubeObject, _context: Context) -> Causes:
    found = metadata_update(new, old)
    spec, before = new.get("spec", {}), old.get("spec", {})
    if _fixed(spec) != _fixed(before) or not _only_more(spec, before):
        found.append(forbidden("spec", _CHANGEABLE))
    return found


def _fixed(spec: KubeObject) -> KubeObject:
    """The part of a Pod's spec that never changes."""
    rest = copy.deepcopy(spec)
    for name in (
        "activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates",
    ):  # fmt: skip
        rest.pop(name, None)
    for group in _CONTAINERS:
        for container in rest.get(group) or ():
            container.pop("image", None)
    return rest


def _only_more(spec: KubeObject, before: KubeObject) -> bool:
    """Tolerations are only added, scheduling gates only removed."""
    now, then = spec.get("tolerations") or [], before.get("tolerations") or []
    gates, earlier = spec.get("schedulingGates") or [], before.get("schedulingGates") or []
    return all(item in now for item in then) and all(gate in earlier for gate in gates)


def changed_pod_status(new: KubeObject, old: KubeObject, _context: Context) -> Causes:
    """Claim statuses must name claims of the pod, and claims that may exist."""
    spec, status = new.get("spec", {}), new.get("status", {})
    names = {entry.get("name") for entry in spec.get("resourceClaims") or ()}
    statuses = status.get("resourceClaimStatuses") or []
    found = metadata_update(new, old)
    found += each("status.resourceClaimStatuses", statuses, -1, partial(_claim_status, names))
    found += _doubles("status.resourceClaimStatuses", [item.get("name", "") for item in statuses])
    extended = status.get("extendedResourceClaimStatus")
    return found if extended is None else found + _extended(spec, extended)


def _claim_status(names: set[Any], field: str, entry: KubeObject) -> Causes:
    found: Causes = []
    name, claim = entry.get("name", ""), entry.get("resourceClaimName")
    if name not in names:
        detail = "must match the name of an entry in `spec.resourceClaims`"
        found.append(invalid(f"{field}.name", name, detail))
    return found if claim is None else found + subdomain(f"{field}.resourceClaimName", claim)


def _extended(spec: KubeObject, status: KubeObject) -> Causes:
    """The claim that the scheduler made for extended resources (KEP-5004)."""
    field = "status.extendedResourceClaimStatus"
    mappings = status.get("requestMappings") or []
    found: Causes = []
    if not mappings:
        detail = "at least one request mapping is required"
        found.append(required(f"{field}.requestMappings", detail))
    requested = {
        name
        for group in _CONTAINERS
        for container in spec.get(group) or ()
        for name in (container.get("resources") or {}).get("requests") or ()
        if is_extended_resource(name) or name.startswith(_CLASS_RESOURCE)
    }
    detail = (
        "must match the extended resource name of an entry in "
        "spec.initContainers.resources.requests or spec.containers.resources.requests"
    )
    found += [
        invalid(f"{field}.requestMappings[{index}].resourceName", mapping["resourceName"], detail)
        for index, mapping in enumerate(mappings)
        if mapping.get("resourceName") not in requested
    ]
    if not status.get("resourceClaimName"):
        found.append(required(f"{field}.resourceClaimName"))
    return found
