"""Where on which GPU a claim's MIG device is: from what the journal keeps of it, or from its name alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pydra_core import PreparedClaim, PreparedDevice
from pydra_nvidia.gpus import Gpu, GpuInstance
from pydra_nvidia.names import place_of

MADE = "made"
"""In a device's state: it was made for the claim, and is undone with it."""


class Spot(NamedTuple):
    """A place on one GPU, by UUID: minor numbers may be another card's after a reboot."""

    gpu: str
    profile_id: int
    start: int

    @classmethod
    def of(cls, gpu: str, one: GpuInstance) -> Spot:
        """Where an instance is."""
        return cls(gpu, one.profile_id, one.placement.start)

    def state(self) -> dict[str, str | int]:
        """As JSON values."""
        return {"gpu": self.gpu, "profile": self.profile_id, "start": self.start}


def spot_of(device: PreparedDevice, gpus: Iterable[Gpu], *, guess: bool = True) -> Spot | None:
    """Where a prepared device was made, or may have been; None if it was not.

    Args:
        device: with its state, or without.
        gpus: those of the node.
        guess: whether the name may tell where nothing else does.
    """
    if made := device.state.get(MADE):
        return Spot(str(made["gpu"]), int(made["profile"]), int(made["start"]))
    return _by_name(device.device, gpus) if guess and not device.state else None


def spots(claim: PreparedClaim, gpus: Iterable[Gpu]) -> Iterator[Spot]:
    """Where the MIG devices are that a claim holds; also those it was given as they were."""
    known = list(gpus)
    for device in claim.devices:
        spot = spot_of(device, known) or _by_name(device.device, known)
        if spot:
            yield spot


def _by_name(name: str, gpus: Iterable[Gpu]) -> Spot | None:
    place = place_of(name)
    uuid = next((g.uuid for g in gpus if place and g.minor == place.minor), None)
    return Spot(uuid, place.profile_id, place.start) if place and uuid else None
