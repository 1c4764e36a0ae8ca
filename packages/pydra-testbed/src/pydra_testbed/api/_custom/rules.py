"""Is a CustomResourceDefinition one? Names, versions, and schemas that are structural.

The kind's strategy asks here. What this server cannot keep is refused, never ignored: conversion webhooks, and
rules with an optional old value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydra_testbed.api._causes import Cause, Causes, forbidden, invalid, not_supported, required
from pydra_testbed.api._context import Context
from pydra_testbed.api._custom.celrules import RULES, uncompiled
from pydra_testbed.api._custom.pruning import PRESERVE
from pydra_testbed.api._custom.wellformed import malformed
from pydra_testbed.api._names import dns_label, dns_subdomain
from pydra_testbed.api._rules.meta import metadata, metadata_update
from pydra_testbed.objects import KubeObject

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_INT_OR_STRING = "x-kubernetes-int-or-string"


def definition_defaults(obj: KubeObject, _context: Context) -> None:
    """Names follow from the kind; versions are not converted."""
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if names.get("kind"):
        names.setdefault("singular", str(names["kind"]).lower())
        names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})


def new_definition(obj: KubeObject, _context: Context) -> Causes:
    """A new definition, all of it."""
    found = metadata(obj, namespaced=False, name_check=dns_subdomain)
    return found + _spec(obj["metadata"].get("name", ""), obj.get("spec") or {})


def changed_definition(new: KubeObject, old: KubeObject, _context: Context) -> Causes:
    """What holds for a new one; group, scope and names of one that is in use stay."""
    found = metadata_update(new, old)
    before, after = old.get("spec") or {}, new.get("spec") or {}
    for path in ("group", "scope"):
        if before.get(path) != after.get(path):
            found.append(invalid(f"spec.{path}", after.get(path), "field is immutable"))
    return found + _spec(new["metadata"].get("name", ""), after)


def _spec(name: str, spec: Mapping[str, Any]) -> Causes:
    found: Causes = []
    group, names = str(spec.get("group", "")), spec.get("names") or {}
    plural = str(names.get("plural", ""))
    if name != f"{plural}.{group}":
        detail = 'must be spec.names.plural+"."+spec.group'
        found.append(invalid("metadata.name", name, detail))
    if not group:
        found.append(required("spec.group"))
    elif "." not in group:
        found.append(invalid("spec.group", group, "should be a domain with at least one dot"))
    if spec.get("scope") not in {"Cluster", "Namespaced"}:
        scopes = ("Cluster", "Namespaced")
        found.append(not_supported("spec.scope", str(spec.get("scope", "")), scopes))
    for field in ("plural", "singular", "kind", "listKind"):
        found += _name(f"spec.names.{field}", str(names.get(field, "")))
    if (spec.get("conversion") or {}).get("strategy", "None") != "None":
        detail = "this server converts nothing; serve versions of the same form"
        found.append(forbidden("spec.conversion.strategy", detail))
    return found + _versions(spec.get("versions") or [])


def _name(field: str, value: str) -> Causes:
    if not value:
        return [required(field)]
    return [invalid(field, value, why) for why in dns_label(value.lower())]


def _versions(versions: list[Mapping[str, Any]]) -> Causes:
    field = "spec.versions"
    if not versions:
        return [required(field, "must have at least one version")]
    found: Causes = []
    if sum(bool(entry.get("storage")) for entry in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        found.append(invalid(field, [entry.get("name") for entry in versions], detail))
    for index, entry in enumerate(versions):
        found += _version(f"{field}[{index}]", entry)
    return found


def _version(field: str, entry: Mapping[str, Any]) -> Causes:
    at = f"{field}.schema.openAPIV3Schema"
    schema = (entry.get("schema") or {}).get("openAPIV3Schema")
    found = [
        invalid(f"{field}.name", entry.get("name"), why)
        for why in dns_label(str(entry.get("name", "")))
    ]
    if not isinstance(schema, dict):
        return [*found, required(at, "schemas are required")]
    if schema.get("type") != "object":
        found.append(required(f"{at}.type", "must not be empty at the root"))
    wrong = list(malformed(schema, at))
    if wrong:
        return [*found, *wrong]
    found += _structural(schema, at)
    for index, column in enumerate(entry.get("additionalPrinterColumns") or ()):
        here = f"{field}.additionalPrinterColumns[{index}]"
        found += [
            required(f"{here}.{name}")
            for name in ("name", "type", "jsonPath")
            if not column.get(name)
        ]
    return found


def _structural(schema: Mapping[str, Any], at: str) -> Iterator[Cause]:
    """Every value has a type, at every depth."""
    kind = schema.get("type")
    if kind is not None and kind not in _TYPES:
        yield not_supported(f"{at}.type", str(kind), _TYPES)
    for index, rule in enumerate(schema.get(RULES) or ()):
        why = uncompiled(rule)
        if why:
            yield invalid(f"{at}.{RULES}[{index}].rule", rule.get("rule", ""), why)
    yield from _list(schema, at)
    for name, child in (schema.get("properties") or {}).items():
        yield from _below(child, f"{at}.properties[{name}]", "object fields")
    rest = schema.get("additionalProperties")
    if isinstance(rest, dict):
        yield from _below(rest, f"{at}.additionalProperties", "object fields")


def _below(schema: Mapping[str, Any], at: str, what: str) -> Iterator[Cause]:
    if not schema.get("type") and not schema.get(_INT_OR_STRING) and not schema.get(PRESERVE):
        yield required(f"{at}.type", f"must not be empty for specified {what}")
    yield from _structural(schema, at)


def _list(schema: Mapping[str, Any], at: str) -> Iterator[Cause]:
    items, how = schema.get("items"), schema.get("x-kubernetes-list-type")
    if schema.get("type") == "array" and not isinstance(items, dict):
        yield required(f"{at}.items", "must be specified")
    if isinstance(items, dict):
        yield from _below(items, f"{at}.items", "array items")
    if how is not None and how not in {"atomic", "set", "map"}:
        yield not_supported(f"{at}.x-kubernetes-list-type", str(how), ("atomic", "map", "set"))
    keys = schema.get("x-kubernetes-list-map-keys")
    if how == "map" and not keys:
        detail = "must not be empty if x-kubernetes-list-type is map"
        yield required(f"{at}.x-kubernetes-list-map-keys", detail)
    known = (items or {}).get("properties") or {}
    for index, key in enumerate(keys or ()):
        if key not in known:
            field = f"{at}.x-kubernetes-list-map-keys[{index}]"
            yield invalid(field, key, "entries must all be names of item properties")
