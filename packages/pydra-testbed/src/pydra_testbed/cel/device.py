"""A device as selectors see it, converted once and read by every selector (facts: DRA `device` variable).

Attribute and capacity names without a domain belong to the driver's domain (KEP-4381). A device that
cannot be converted is no error here: Kubernetes reports it from whichever selector looks at it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydra_core.quantity import QuantityError, parse
from pydra_testbed.cel.attributes import Domains
from pydra_testbed.cel.environment import running_environment
from pydra_testbed.cel.features import DEFAULT, Features
from pydra_testbed.cel.semver import SemverError, parse_semver
from pydra_testbed.cel.values import DeviceMessage, quantity_message, semver_message

_PLAIN = ("bool", "int", "string")
_LISTS = ("ints", "bools", "strings")


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device, ready for evaluation; `error` is set instead of the rest when it is malformed.

    `activation` is for the evaluator, `variable` is the value of `device` for metered evaluation.
    """

    activation: Any
    error: str = ""
    variable: Mapping[str, Any] = field(default_factory=dict)


def device_view(driver: str, device: Mapping[str, Any], features: Features = DEFAULT) -> DeviceView:
    """Convert a device of a ResourceSlice (`spec.devices[]`, API v1)."""
    attribute = _attribute_or_list if features.list_attributes else _attribute
    try:
        attributes = _by_domain(driver, device.get("attributes") or {}, attribute)
        capacity = _by_domain(driver, device.get("capacity") or {}, _capacity)
    except ValueError as problem:
        return DeviceView(None, str(problem))
    shared = bool(device.get("allowMultipleAllocations"))
    variables = {
        "device": DeviceMessage(driver=driver, allowMultipleAllocations=shared),
        "device.attributes": attributes,
        "device.capacity": capacity,
    }
    variable = {
        "driver": driver,
        "allowMultipleAllocations": shared,
        "attributes": Domains(attributes),
        "capacity": Domains(capacity),
    }
    return DeviceView(running_environment().Activation(variables), variable=variable)


def _by_domain(driver: str, named: Mapping[str, Any], convert: Any) -> dict[str, dict[str, Any]]:
    domains: dict[str, dict[str, Any]] = {}
    for qualified, value in named.items():
        domain, slash, name = qualified.partition("/")
        if not slash:
            domain, name = driver, qualified
        domains.setdefault(domain, {})[name] = convert(qualified, value)
    return domains


def _attribute_or_list(name: str, value: Mapping[str, Any]) -> Any:
    for kind in _LISTS:
        if value.get(kind) is not None:
            return list(value[kind])
    if value.get("versions") is not None:
        return [_version(name, text) for text in value["versions"]]
    return _attribute(name, value)


def _attribute(name: str, value: Mapping[str, Any]) -> Any:
    for kind in _PLAIN:
        if value.get(kind) is not None:
            return value[kind]
    if value.get("version") is None:
        raise ValueError(f"attribute {name}: unsupported attribute value")
    return _version(name, value["version"])


def _version(name: str, text: str) -> Any:
    try:
        return semver_message(parse_semver(text))
    except SemverError as problem:
        raise ValueError(f"attribute {name}: parse semantic version: {problem}") from problem


def _capacity(name: str, value: Mapping[str, Any]) -> Any:
    try:
        return quantity_message(parse(str(value.get("value", "0"))))
    except QuantityError as problem:
        raise ValueError(f"capacity {name}: {problem}") from problem
