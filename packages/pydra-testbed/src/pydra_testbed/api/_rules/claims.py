"""What a claim asks for: requests, constraints, configuration (KEP-4381, KEP-4816, KEP-5055).

Serves ResourceClaim and, with another prefix, ResourceClaimTemplate.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TypeAlias

from pydra_testbed.api._causes import (
    Causes,
    all_invalid,
    invalid,
    not_supported,
    required,
)
from pydra_testbed.api._context import Context
from pydra_testbed.api._emit import emit
from pydra_testbed.api._godump import internal
from pydra_testbed.api._names import (
    dns_label,
    dns_subdomain,
    fully_qualified_name,
    key_named,
    label,
    label_value,
    subdomain,
)
from pydra_testbed.api._rules.admin import admin_requests
from pydra_testbed.api._rules.devices import EFFECTS
from pydra_testbed.api._rules.lists import each, unique
from pydra_testbed.api._rules.meta import metadata, metadata_update, template_metadata
from pydra_testbed.api._rules.opaque import configuration
from pydra_testbed.api._rules.selectors import selectors
from pydra_testbed.api._shapes.claims import RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE
from pydra_testbed.api._shapes.types import Struct
from pydra_testbed.objects import KubeObject

LIST_MAX = 32
ALTERNATIVES_MAX = 8
IMMUTABLE = "field is immutable"
MODES = ("All", "ExactCount")
OPERATORS = ("Equal", "Exists")
_BAD_REFERENCE = (
    "must be the name of a request in the claim or the name of a request and a subrequest "
    "separated by '/'"
)

RequestNames: TypeAlias = Mapping[str, frozenset[str]]
"""Names of requests, each with the names of its alternatives."""


def new_claim(obj: KubeObject, context: Context) -> Causes:
    found = metadata(obj, namespaced=True, name_check=dns_subdomain)
    spec = obj.get("spec", {})
    return admin_requests("spec", spec, context) + found + claim_spec("spec", spec, context)


def changed_claim(new: KubeObject, old: KubeObject, _context: Context) -> Causes:
    return metadata_update(new, old) + _unchanged(new, old, RESOURCE_CLAIM)


def new_template(obj: KubeObject, context: Context) -> Causes:
    found = metadata(obj, namespaced=True, name_check=dns_subdomain)
    spec = obj.get("spec", {})
    found += template_metadata(spec.get("metadata", {}), "spec.metadata")
    inner = spec.get("spec", {})
    found += claim_spec("spec.spec", inner, context)
    return admin_requests("spec", inner, context) + found


def changed_template(new: KubeObject, old: KubeObject, _context: Context) -> Causes:
    return metadata_update(new, old) + _unchanged(new, old, RESOURCE_CLAIM_TEMPLATE)


def _unchanged(new: KubeObject, old: KubeObject, shape: Struct) -> Causes:
    """Compared in stored form, where empty and absent are the same."""
    spec = emit(new, shape).get("spec")
    if spec == old.get("spec"):
        return []
    return [invalid("spec", internal(new.get("spec"), shape.fields["spec"].shape), IMMUTABLE)]


def request_names(devices: KubeObject) -> RequestNames:
    """The names that constraints, configuration and results may refer to."""
    return {
        request.get("name", ""): frozenset(
            alternative.get("name", "") for alternative in request.get("firstAvailable") or ()
        )
        for request in devices.get("requests") or ()
    }


def claim_spec(field: str, spec: KubeObject, context: Context) -> Causes:
    devices = spec.get("devices", {})
    path, names = f"{field}.devices", request_names(devices)
    found = unique(
        f"{path}.requests",
        devices.get("requests"),
        LIST_MAX,
        partial(_request, context),
        lambda request: request.get("name", ""),
    )
    found += each(
        f"{path}.constraints",
        devices.get("constraints"),
        LIST_MAX,
        partial(_constraint, context, names),
    )
    return found + each(
        f"{path}.config", devices.get("config"), LIST_MAX, partial(_claim_configuration, names)
    )


def _request(context: Context, field: str, request: KubeObject) -> Causes:
    found = label(f"{field}.name", request.get("name", ""))
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable")
    one_of = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is not None and alternatives:
        detail = f"{one_of}, but multiple fields are set"
        return [*found, invalid(field, None, detail)]
    if alternatives:
        return found + unique(
            f"{field}.firstAvailable",
            alternatives,
            ALTERNATIVES_MAX,
            partial(_alternative, context),
            lambda alternative: alternative.get("name", ""),
        )
    if exactly is not None:
        return found + _wanted(context, f"{field}.exactly", exactly)
    return [*found, required(field, one_of)]


def _alternative(context: Context, field: str, request: KubeObject) -> Causes:
    return label(f"{field}.name", request.get("name", "")) + _wanted(context, field, request)


def _wanted(context: Context, field: str, request: KubeObject) -> Causes:
    """What an exact request and an alternative have in common."""
    name = request.get("deviceClassName", "")
    path = f"{field}.deviceClassName"
    found = subdomain(path, name) if name else [required(path)]
    found += selectors(f"{field}.selectors", request.get("selectors"), context)
    found += _count(field, request.get("allocationMode", ""), request.get("count", 0))
    return found + each(f"{field}.tolerations", request.get("tolerations"), -1, toleration)


def _count(field: str, mode: str, count: int) -> Causes:
    if mode not in MODES:
        return [not_supported(f"{field}.allocationMode", mode, MODES)]
    if mode == "All" and count:
        detail = "must not be specified when allocationMode is 'All'"
        return [invalid(f"{field}.count", count, detail)]
    if mode == "ExactCount" and count <= 0:
        return [invalid(f"{field}.count", count, "must be greater than zero")]
    return []


def toleration(field: str, entry: KubeObject) -> Causes:
    key, operator, value, effect = (
        entry.get(name, "") for name in ("key", "operator", "value", "effect")
    )
    found = key_named(f"{field}.key", key) if key else []
    if operator == "Exists" and value:
        found.append(invalid(f"{field}.value", value, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        found += all_invalid(f"{field}.value", value, label_value(value))
    elif not operator:
        found.append(required(f"{field}.operator"))
    elif operator not in OPERATORS:
        found.append(not_supported(f"{field}.operator", operator, OPERATORS))
    if effect and effect not in EFFECTS:
        found.append(not_supported(f"{field}.effect", effect, EFFECTS))
    return found


def _constraint(
    context: Context, names: RequestNames, field: str, constraint: KubeObject
) -> Causes:
    found = unique(
        f"{field}.requests", constraint.get("requests"), LIST_MAX, partial(reference, names)
    )
    for name in ("matchAttribute", "distinctAttribute"):
        if constraint.get(name) is not None:
            return found + fully_qualified_name(f"{field}.{name}", constraint[name])
    if not context.gates["DRAConsumableCapacity"]:
        return [*found, required(f"{field}.matchAttribute")]
    detail = (
        'exactly one of "matchAttribute" or "distinctAttribute" is required, '
        "but multiple fields are set"
    )
    return [*found, required(field, detail)]


def _claim_configuration(names: RequestNames, field: str, entry: KubeObject) -> Causes:
    found = unique(f"{field}.requests", entry.get("requests"), LIST_MAX, partial(reference, names))
    return found + configuration(field, entry)


def reference(names: RequestNames, field: str, text: str) -> Causes:
    """`request` or `request/alternative`, both known."""
    parts = text.split("/")
    if len(parts) > 2:  # noqa: PLR2004 -- request and alternative
        return [invalid(field, text, _BAD_REFERENCE)]
    found: Causes = []
    for part in parts:
        found += all_invalid(field, part, dns_label(part))
    known = names.get(parts[0])
    if known is None or (len(parts) > 1 and parts[1] not in known):
        found.append(invalid(field, text, _BAD_REFERENCE))
    return found
