"""Kubernetes Dynamic Resource Allocation drivers in Python: subclass `Driver`, call `main`.

Names are loaded when they are first used: the worker that holds a vendor's library imports parts of this package
too, and must not carry the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydra_core._values import (
        Allocation,
        Capacity,
        Claim,
        ClaimRef,
        Consumption,
        CounterSet,
        Device,
        Inventory,
        PreparedClaim,
        PreparedDevice,
        RequestPolicy,
        Taint,
        ValidRange,
        Version,
    )
    from pydra_core.cli import main
    from pydra_core.driver import Driver
    from pydra_core.errors import (
        ClaimConfigError,
        DeviceGoneError,
        DeviceUnhealthyError,
        HostError,
        PydraError,
        TerminalError,
    )
    from pydra_core.health import DeviceHealth, Health, HealthPolicy

__all__ = [
    "Allocation",
    "Capacity",
    "Claim",
    "ClaimConfigError",
    "ClaimRef",
    "Consumption",
    "CounterSet",
    "Device",
    "DeviceGoneError",
    "DeviceHealth",
    "DeviceUnhealthyError",
    "Driver",
    "Health",
    "HealthPolicy",
    "HostError",
    "Inventory",
    "PreparedClaim",
    "PreparedDevice",
    "PydraError",
    "RequestPolicy",
    "Taint",
    "TerminalError",
    "ValidRange",
    "Version",
    "main",
]
_HOMES = {
    "main": "cli",
    "Driver": "driver",
    "DeviceHealth": "health",
    "Health": "health",
    "HealthPolicy": "health",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    home = _HOMES.get(name) or ("errors" if name.endswith("Error") else "_values")
    found: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found
