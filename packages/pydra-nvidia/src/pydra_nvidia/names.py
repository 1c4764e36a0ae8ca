"""What devices are called: as NVIDIA's own driver calls them, so that claims and tools need not change.

Minor numbers, not indices: `/dev/nvidiaN` stays when another GPU goes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pydra_core.values import device_name
from pydra_nvidia.gpus import Gpu, MigDevice

_MADE = re.compile(r"gpu-(\d+)-mig-[a-z0-9-]+?-(\d+)-(\d+)")
_STATIC = "-static"


class Place(NamedTuple):
    """Where a MIG device is, or is to be: minor number of the GPU, profile ID, and first memory slice."""

    minor: int
    profile_id: int
    start: int


def place_name(place: Place, profile: str) -> str:
    """What a MIG device is called that is made for a claim: as the one that exists there would be."""
    kind = profile.replace(".", "")
    return device_name("gpu", place.minor, "mig", kind, place.profile_id, place.start)


def place_of(name: str) -> Place | None:
    """Where a device with such a name is to be made; None for all others, those of `static_name` too."""
    found = _MADE.fullmatch(name)
    return Place(*map(int, found.groups())) if found else None


def static_name(gpu: Gpu, mig: MigDevice) -> str | None:
    """What a MIG device that somebody else made is called on a GPU where devices are made for claims.

    Never a name that could be made: whoever has the device must not be taken for one who may undo it.
    """
    name = mig_name(gpu, mig)
    return name and name + _STATIC


def gpu_name(gpu: Gpu) -> str | None:
    """`gpu-<minor>`; None for a GPU whose minor number nobody knows."""
    return None if gpu.minor is None else f"gpu-{gpu.minor}"


def mig_name(gpu: Gpu, mig: MigDevice) -> str | None:
    """`gpu-<minor>-mig-<profile>-<profile ID>-<start>`, and `-ci<ID>` for one of several in a GPU instance.

    It names what the device is and where, not the instance: made again at the same place it is the same device.
    """
    if gpu.minor is None or mig.profile is None or mig.profile_id is None or mig.placement is None:
        return None
    profile = mig.profile.rpartition("c.")[2].replace(".", "")
    place = device_name("gpu", gpu.minor, "mig", profile, mig.profile_id, mig.placement.start)
    neighbours = sum(other.gpu_instance == mig.gpu_instance for other in gpu.mig_devices)
    return f"{place}-ci{mig.compute_instance}" if neighbours > 1 or "c." in mig.profile else place
