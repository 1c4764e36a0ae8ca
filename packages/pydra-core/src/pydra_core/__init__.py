"""Kubernetes Dynamic Resource Allocation drivers in Python: subclass `Driver`, call `main`."""

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
