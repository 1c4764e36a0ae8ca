"""What pods may ask for without a claim: `nvidia.com/gpu` and its kin, named as NVIDIA's device plugin names them.

The node offers these in legacy mode; `NvidiaDriver.resources` calls. Pure, over what is published, so that both modes
speak of the same devices.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydra_core import Capacity, Device, Inventory
from pydra_core.resources import Resource, ResourceDevice
from pydra_nvidia.shares import NONE

GPU = "nvidia.com/gpu"
"""Whole GPUs; an ID is the GPU's UUID."""
SHARED = "nvidia.com/gpu.shared"
"""Equal shares of GPUs; an ID is `<UUID>::<number>`."""
_MIG = "nvidia.com/mig-"
_SHARES = "shares"


def resources(inventory: Inventory) -> tuple[Resource, ...]:
    """All there is without a claim.

    GPUs that are divided into equal shares are offered as these, all others whole. MIG devices are offered by their
    profile, `+` in it written as `.`; those that are made for claims are not, for there is none before the claim, nor
    several compute instances of one GPU instance, for which NVIDIA has no name.
    """
    found: dict[str, list[ResourceDevice]] = {}
    for device in inventory.devices:
        for name, one in _offered(device):
            found.setdefault(name, []).append(one)
    most = {SHARED: 1} if any(map(_is_by_mps, inventory.devices)) else {}
    return tuple(
        Resource(name, tuple(devices), most.get(name, 0)) for name, devices in sorted(found.items())
    )


def _offered(device: Device) -> Iterator[tuple[str, ResourceDevice]]:
    uuid, profile = device.attributes.get("uuid"), device.attributes.get("profile")
    if not isinstance(uuid, str) or device.consumes:
        return
    if isinstance(profile, str):
        if "c." not in profile:
            name = _MIG + profile.replace("+", ".")
            yield name, ResourceDevice(id=uuid, devices=(device.name,))
    elif shares := _shares(device):
        for number in range(shares):
            one = ResourceDevice(id=f"{uuid}::{number}", devices=(device.name,), share=str(number))
            yield SHARED, one
    else:
        yield GPU, ResourceDevice(id=uuid, devices=(device.name,))


def _is_by_mps(device: Device) -> bool:
    """Whether its shares are held to their part by MPS: a program talks to the daemon of one GPU, and has one part."""
    enforcement = device.attributes.get("smEnforcement")
    return _shares(device) > 0 and enforcement not in (None, NONE)


def _shares(device: Device) -> int:
    """Into how many equal shares it is divided; 0 if it is not, or is shared by memory or multiprocessors."""
    capacity = device.capacity.get(_SHARES)
    return int(capacity.value) if device.shareable and isinstance(capacity, Capacity) else 0
