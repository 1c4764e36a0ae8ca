"""One device of a slice: attributes, taints, counters it consumes, nodes, binding conditions."""

from __future__ import annotations

import re
from typing import Any

from pydra_testbed.api._causes import (
    Causes,
    all_invalid,
    invalid,
    not_supported,
    required,
    too_long,
)
from pydra_testbed.api._godump import internal
from pydra_testbed.api._names import key_named, label, label_value, qualified_name, size
from pydra_testbed.api._rules.capacity import allocatable, capacity
from pydra_testbed.api._rules.lists import each, entries, fine, repeated, unique
from pydra_testbed.api._rules.nodes import node_name, node_selector
from pydra_testbed.api._shapes.devices import ATTRIBUTE
from pydra_testbed.objects import KubeObject

ENTRIES_MAX = 32
VALUES_MAX = 48
VALUE_MAX = 64
TAINTS_MAX = 16
CONSUMPTIONS_MAX = 2
COUNTERS_MAX = 32
CONDITIONS_MAX = 4
EFFECTS = ("NoExecute", "NoSchedule", "None")
_LISTS = ("bools", "ints", "strings", "versions")
ATTRIBUTE_ORDER = ("bool", "int", "string", "version", *_LISTS)
_NUMBER = r"(0|[1-9][0-9]*)"
_PART = r"(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PART}(\.{_PART})*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?"
)
_PER_DEVICE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
    "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
)


def advanced(devices: list[KubeObject]) -> bool:
    """Whether a slice may hold only half as many devices."""
    return any(
        entry.get("taints")
        or entry.get("consumesCounters")
        or any(
            value.get(name) is not None
            for value in (entry.get("attributes") or {}).values()
            for name in _LISTS
        )
        for entry in devices
    )


def device(field: str, entry: KubeObject, old: KubeObject | None, *, per_device: bool) -> Causes:
    """One device; `old` is the stored device of that name, whose unchanged parts are not judged."""
    found = label(f"{field}.name", entry.get("name", ""))
    found += _counts(field, entry)
    found += entries(f"{field}.attributes", entry.get("attributes"), qualified_name, _attribute)
    if old is None or (old.get("capacity") or {}) != (entry.get("capacity") or {}):
        found += capacity(field, entry)
    if old is None or (old.get("taints") or []) != (entry.get("taints") or []):
        found += each(f"{field}.taints", entry.get("taints"), TAINTS_MAX, taint)
    found += unique(
        f"{field}.consumesCounters",
        entry.get("consumesCounters"),
        CONSUMPTIONS_MAX,
        _consumption,
        lambda item: item.get("counterSet", ""),
    )
    found += _own_nodes(field, entry) if per_device else _no_nodes(field, entry)
    found += binding_conditions(field, entry)
    return found + allocatable(field, entry)


def _counts(field: str, entry: KubeObject) -> Causes:
    attributes = entry.get("attributes") or {}
    total = len(attributes) + len(entry.get("capacity") or {})
    values = sum(_values(value) for value in attributes.values())
    found: Causes = []
    if total > ENTRIES_MAX:
        detail = f"the total number of attributes and capacities must not exceed {ENTRIES_MAX}"
        found.append(invalid(field, total, detail))
    if values > VALUES_MAX:
        detail = f"the total number of attribute values must not exceed {VALUES_MAX}"
        found.append(invalid(field, values, detail))
    return found


def _values(attribute: KubeObject) -> int:
    return sum(len(attribute.get(name) or ()) for name in _LISTS) or 1


def _attribute(field: str, value: KubeObject) -> Causes:
    found: Causes = []
    given = [name for name in ATTRIBUTE_ORDER if value.get(name) is not None]
    for name in given:
        found += _attribute_value(f"{field}.{name}", name, value[name])
    if len(given) != 1:
        shown: Any = internal(value, ATTRIBUTE) if given else ""
        found.append(invalid(field, shown, "exactly one value must be specified"))
    return found


def _attribute_value(field: str, name: str, value: Any) -> Causes:
    if name == "string":
        return _text(field, value)
    if name == "version":
        return version(field, value)
    if name not in _LISTS:
        return []
    if not value:
        return [invalid(field, value, "must not be empty if specified")]
    checks = {"strings": _text, "versions": version}
    return each(field, value, -1, checks.get(name, fine))


def _text(field: str, value: str) -> Causes:
    return [too_long(field, VALUE_MAX)] if size(value) > VALUE_MAX else []


def version(field: str, value: str) -> Causes:
    """A semantic version 2.0.0, at most 64 bytes."""
    found: Causes = []
    if not _SEMVER.fullmatch(value):
        detail = "must be a string compatible with semver.org spec 2.0.0"
        found.append(invalid(field, value, detail))
    return found + _text(field, value)


def taint(field: str, entry: KubeObject) -> Causes:
    """A taint's key, value and effect, in a slice or in a rule."""
    found = key_named(f"{field}.key", entry.get("key", ""))
    value, effect = entry.get("value", ""), entry.get("effect", "")
    if value:
        found += all_invalid(f"{field}.value", value, label_value(value))
    if not effect:
        found.append(required(f"{field}.effect"))
    elif effect not in EFFECTS:
        found.append(not_supported(f"{field}.effect", effect, EFFECTS))
    return found


def _consumption(field: str, entry: KubeObject) -> Causes:
    name, counters = entry.get("counterSet", ""), entry.get("counters")
    path = f"{field}.counterSet"
    found = label(path, name) if name else [required(path)]
    if not counters:
        return [*found, required(f"{field}.counters")]
    return found + entries(f"{field}.counters", counters, label, fine, COUNTERS_MAX)


def _own_nodes(field: str, entry: KubeObject) -> Causes:
    found: Causes = []
    chosen: list[str] = []
    name, selector, everywhere = (
        entry.get(key) for key in ("nodeName", "nodeSelector", "allNodes")
    )
    if name:
        chosen.append("`nodeName`")
        found += node_name(f"{field}.nodeName", name)
    elif name is not None:
        found.append(invalid(f"{field}.nodeName", name, "must not be empty"))
    if selector is not None:
        chosen.append("`nodeSelector`")
        found += node_selector(f"{field}.nodeSelector", selector)
    if everywhere:
        chosen.append("`allNodes`")
    elif everywhere is not None:
        detail = "must be either unset or set to true"
        found.append(invalid(f"{field}.allNodes", everywhere, detail))
    if not chosen:
        found.append(required(field, _PER_DEVICE))
    elif len(chosen) > 1:
        found.append(invalid(field, f"{{{', '.join(chosen)}}}", _PER_DEVICE))
    return found


def _no_nodes(field: str, entry: KubeObject) -> Causes:
    if all(entry.get(key) is None for key in ("nodeName", "nodeSelector", "allNodes")):
        return []
    detail = (
        "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
        "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
    )
    return [invalid(field, None, detail)]


def binding_conditions(field: str, entry: KubeObject) -> Causes:
    """Conditions that hold back binding, and those that end the wait: both or none (KEP-5007)."""
    good, bad = entry.get("bindingConditions") or [], entry.get("bindingFailureConditions") or []
    good_at, bad_at = f"{field}.bindingConditions", f"{field}.bindingFailureConditions"
    found = each(good_at, good, CONDITIONS_MAX, key_named)
    found += each(bad_at, bad, CONDITIONS_MAX, key_named)
    found += repeated(good_at, good) + repeated(bad_at, bad)
    overlap = "bindingFailureConditions must not overlap with bindingConditions"
    found += [
        invalid(f"{bad_at}[{index}]", name, overlap)
        for index, name in enumerate(bad)
        if name in good
    ]
    if bad and not good:
        detail = "bindingConditions are required to use bindingFailureConditions"
        found.append(invalid(good_at, [], detail))
    if good and not bad:
        detail = "bindingFailureConditions are required to use bindingConditions"
        found.append(invalid(bad_at, [], detail))
    return found
