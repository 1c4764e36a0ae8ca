"""A device as selectors see it, converted once and read by every selector (facts: DRA `device` variable).

Attribute and capacity names without a domain belong to the driver's domain (KEP-4381). A device that
cannot be converted is no error here: Kubernetes reports it from whichever selector looks at it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydra_core.quantity import QuantityError, parse
from pydra_testbed.cel.environment import running_environment
from pydra_testbed.cel.semver import SemverError, parse_semver
from pydra_testbed.cel.values import DeviceMessage, quantity_message, semver_message

_PLAIN = ("bool", "int", "string")


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device, ready for evaluation; `error` is set instead of `activation` when it is malformed."""

    activation: Any
    error: str = ""


def device_view(driver: str, device: Mapping[str, Any]) -> DeviceView:
    """Convert a device of a ResourceSlice (`spec.devices[]`, API v1)."""
    try:
        attributes = _by_domain(driver, device.get("attributes") or {}, _attribute)
        capacity = _by_domain(driver, device.get("capacity") or {}, _capacity)
    except ValueError as problem:
        return DeviceView(None, str(problem))
    shared = bool(device.get("allowMultipleAllocations"))
    variables = {
        "device": DeviceMessage(driver=driver, allowMultipleAllocations=shared),
        "device.attributes": attributes,
        "device.capacity": capacity,
    }
    return DeviceView(running_environment().Activation(variables))


def _by_domain(driver: str, named: Mapping[str, Any], convert: Any) -> dict[str, dict[str, Any]]:
    domains: dict[str, dict[str, Any]] = {}
    for qualified, value in named.items():
        domain, slash, name = qualified.partition("/")
        if not slash:
            domain, name = driver, qualified
        domains.setdefault(domain, {})[name] = convert(qualified, value)
    return domains


def _attribute(name: str, value: Mapping[str, Any]) -> Any:
    for kind in _PLAIN:
        if value.get(kind) is not None:
            return value[kind]
    if value.get("version") is None:
        raise ValueError(f"attribute {name}: unsupported attribute value")
    try:
        return semver_message(parse_semver(value["version"]))
    except SemverError as problem:
        raise ValueError(f"attribute {name}: parse semantic version: {problem}") from problem


def _capacity(name: str, value: Mapping[str, Any]) -> Any:
    try:
        return quantity_message(parse(str(value.get("value", "0"))))
    except QuantityError as problem:
        raise ValueError(f"capacity {name}: {problem}") from problem
