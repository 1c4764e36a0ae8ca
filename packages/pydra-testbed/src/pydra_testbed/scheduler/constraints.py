"""Constraints of a claim while devices are tried: matchAttribute and distinctAttribute (KEP-4381, KEP-5075).

Values compare by kind and spelling, so that two versions differing in build metadata are different.
Lists never satisfy either (the gate for list attributes is off).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydra_testbed.scheduler.model import Constraint, Device, Request

_Value = tuple[str, Any]
_KINDS = ("string", "int", "bool", "version")


class Checker(Protocol):
    """One constraint with the devices added so far; every successful `add` is undone by one `remove`."""

    def add(self, request: Request, device: Device) -> bool: ...

    def remove(self, request: Request, device: Device) -> None: ...


def checker_for(constraint: Constraint) -> Checker:
    """A fresh checker, with no devices yet."""
    return _Distinct(constraint) if constraint.is_distinct else _Match(constraint)


def _value(attribute: Mapping[str, Any] | None) -> _Value | None:
    for kind in _KINDS:
        if attribute is not None and attribute.get(kind) is not None:
            return kind, attribute[kind]
    return None


class _Match:
    """All devices have the value of the first."""

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint
        self._value: _Value | None = None
        self._count = 0

    def add(self, request: Request, device: Device) -> bool:
        if not self._constraint.applies_to(request):
            return True
        value = _value(device.attribute(self._constraint.attribute))
        if value is None or (self._count and value != self._value):
            return False
        self._value = value
        self._count += 1
        return True

    def remove(self, request: Request, device: Device) -> None:
        del device
        if self._constraint.applies_to(request):
            self._count -= 1


class _Distinct:
    """No two requests have the same value.

    Kubernetes 1.36 keeps one value per request: inside a request with count > 1 a device is compared with
    its predecessor only (0, 1, 0 passes). Copied on purpose, because a claim must be allocated here as there.
    """

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint
        self._values: dict[str, _Value] = {}

    def add(self, request: Request, device: Device) -> bool:
        if not self._constraint.applies_to(request):
            return True
        value = _value(device.attribute(self._constraint.attribute))
        if value is None or value in self._values.values():
            return False
        self._values[request.base_name] = value
        return True

    def remove(self, request: Request, device: Device) -> None:
        del device
        if self._constraint.applies_to(request):
            self._values.pop(request.base_name, None)
