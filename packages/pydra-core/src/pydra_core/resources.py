"""What a driver offers to clusters without DRA: extended resources, which a pod asks for by name and number.

Returned by `Driver.resources`. Each device ID of a resource stands for devices that the driver also knows as devices
of its pools, and is prepared by the same `Driver.prepare`, through a claim of the framework's own making.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceDevice:
    """One thing that is counted: a pod with `nvidia.com/gpu: 2` gets two of them.

    `id` has at most 63 characters and stays the same over restarts; the kubelet remembers it for as long as a pod
    has it. `devices` are the names of the devices it stands for, as `Driver.discover` returns them. Where several IDs
    stand for the same devices, each has a `share` of its own; without one, an ID has its devices for itself.
    `numa_nodes` tells the kubelet's topology manager where it is; left empty, the devices' `numaNode` attributes do.
    """

    id: str
    devices: tuple[str, ...]
    share: str = ""
    numa_nodes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """An extended resource: `name` is `domain/name`, as in a container's limits.

    The order of `devices` is the order of preference, as in an `Inventory`. `most` is how many of them one container
    can use, 0 for any number; a pod with a container that asks for more is refused.
    """

    name: str
    devices: tuple[ResourceDevice, ...] = ()
    most: int = 0
