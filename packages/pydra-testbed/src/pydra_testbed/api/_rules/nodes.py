"""Node selectors: which nodes a slice, a device or an allocation is for."""

from __future__ import annotations

from pydra_testbed.api._causes import Causes, all_invalid, forbidden, invalid, required
from pydra_testbed.api._names import dns_subdomain, key_named, label_value
from pydra_testbed.api._rules.lists import each
from pydra_testbed.objects import KubeObject

_NAME_FIELD = "metadata.name"


def node_name(field: str, text: str) -> Causes:
    return all_invalid(field, text, dns_subdomain(text))


def node_selector(field: str, selector: KubeObject) -> Causes:
    """A selector needs at least one term; an empty term matches nothing but is allowed."""
    terms = selector.get("nodeSelectorTerms") or []
    path = f"{field}.nodeSelectorTerms"
    if not terms:
        return [required(path, "must have at least one node selector term")]
    return each(path, terms, -1, _term)


def _term(field: str, term: KubeObject) -> Causes:
    expressions = each(f"{field}.matchExpressions", term.get("matchExpressions"), -1, _expression)
    return expressions + each(f"{field}.matchFields", term.get("matchFields"), -1, _field)


def _expression(field: str, requirement: KubeObject) -> Causes:
    values = requirement.get("values") or []
    found = _operator(field, requirement.get("operator", ""), values)
    found += key_named(f"{field}.key", requirement.get("key", ""))
    for index, value in enumerate(values):
        found += all_invalid(f"{field}.values[{index}]", value, label_value(value))
    return found


def _operator(field: str, operator: str, values: list[str]) -> Causes:
    match operator:
        case "In" | "NotIn":
            if not values:
                detail = "must be specified when `operator` is 'In' or 'NotIn'"
                return [required(f"{field}.values", detail)]
        case "Exists" | "DoesNotExist":
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                return [forbidden(f"{field}.values", detail)]
        case "Gt" | "Lt":
            if len(values) != 1:
                detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                return [required(f"{field}.values", detail)]
        case _:
            return [invalid(f"{field}.operator", operator, "not a valid selector operator")]
    return []


def _field(field: str, requirement: KubeObject) -> Causes:
    values = requirement.get("values") or []
    found: Causes = []
    operator, key = requirement.get("operator", ""), requirement.get("key", "")
    if operator not in {"In", "NotIn"}:
        found.append(invalid(f"{field}.operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        found.append(required(f"{field}.values", detail))
    if key != _NAME_FIELD:
        found.append(invalid(f"{field}.key", key, "not a valid field selector key"))
        return found
    for index, value in enumerate(values):
        found += node_name(f"{field}.values[{index}]", value)
    return found
