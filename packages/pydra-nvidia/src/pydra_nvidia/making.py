"""MIG devices made for claims and undone after them; and which instances of a GPU those are.

An instance is ours while the journal says that a claim holds the device at its place: the intent is on disk before
anything is made, and goes when it is undone. NVML has no field to sign instances with, and whatever else was made
may be in use by programs nobody told us of. So what no claim holds is somebody else's, and is never undone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydra_core import Claim, DeviceGoneError, PreparedClaim, PreparedDevice, PydraError
from pydra_core.errors import DeviceBusyError, DeviceError
from pydra_core.sdk import Sdk
from pydra_nvidia import reading
from pydra_nvidia.blame import named
from pydra_nvidia.gpus import Gpu, GpuInstance, MigDevice, Partitioning, Snapshot
from pydra_nvidia.names import place_of
from pydra_nvidia.partitions import Cut, Partition, overlap
from pydra_nvidia.parts import Part
from pydra_nvidia.places import MADE, Spot, spot_of, spots

if TYPE_CHECKING:
    from pydra_core.driver import Driver
    from pydra_nvidia import nvml
else:
    nvml = Sdk("pydra_nvidia.nvml")

_log = logging.getLogger(__name__)
_LOOK, _CHANGE = 20.0, 40.0
"""Seconds; a GPU may have to end what ran on it before it is cut."""


class Making:
    """Makes and undoes the MIG devices of one node.

    Args:
        driver: whose SDK is called, and whose journal is asked.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._begun: dict[str, set[Spot]] = {}
        self._changed: dict[Spot, float] = {}
        self._cuts: dict[str, Cut] = {}

    async def cuts(self, root: Path, gpus: Iterable[Gpu]) -> Mapping[str, Cut]:
        """How each GPU in MIG mode is cut, by UUID; one that cannot be read is as it was, or not among them."""
        cut = [gpu for gpu in gpus if gpu.partitioned and gpu.uuid and not gpu.lost]
        begun, before = time.monotonic(), await self._driver.held()
        read = {gpu.uuid or "": await self._read(root, gpu) for gpu in cut}
        held = (
            *before,
            *await self._driver.held(),
        )  # what was made or undone meanwhile is in one of them
        mine = {spot for spot, at in self._changed.items() if at >= begun}
        mine |= {spot for claim in held for spot in spots(claim, cut)}
        for uuid, found in read.items():
            if found:
                foreign = (one for one in found.instances if Spot.of(uuid, one) not in mine)
                self._cuts[uuid] = Cut(found.profiles, tuple(foreign))
        self._cuts = {uuid: self._cuts[uuid] for uuid in read if uuid in self._cuts}
        return self._cuts

    async def check(self, root: Path, claim: Claim, parts: Collection[Part]) -> None:
        """See whether nothing is in the way of a claim's devices, before anything is changed.

        Raises:
            DeviceBusyError: another claim's device is; it is about to go.
            DeviceError: what somebody else made is.
            PydraError: the GPU cannot be read.
        """
        for uuid in {part.gpu.uuid or "" for part in parts}:
            sent = await self._driver.sdk(nvml.gpu_instances, str(root), uuid, timeout=_LOOK)
            there = reading.gpu_instances(sent)
            for part in parts:
                if part.gpu.uuid == uuid:
                    await self._check(claim, part, there)

    async def make(self, root: Path, claim: Claim, part: Part) -> tuple[MigDevice, dict[str, Any]]:
        """Make a device, or take what an attempt before left of it; with what `undo` needs.

        Raises:
            PydraError: NVML refused, crashed or hangs; the text names the GPU and the call.
        """
        partition = _partition(part)
        profile, place = partition.profile, partition.placement
        spot = Spot(part.gpu.uuid or "", profile.id, place.start)
        self._begun.setdefault(claim.uid, set()).add(spot)
        arguments = (spot.gpu, profile.id, place.start, place.size)
        with named(f"GPU {spot.gpu}"):
            sent = await self._driver.sdk(
                nvml.create_mig_device, str(root), *arguments, timeout=_CHANGE
            )
        self._changed[spot] = time.monotonic()
        made = reading.created(sent)
        device = MigDevice(
            index=0,
            uuid=made.uuid,
            gpu_instance=made.gpu_instance,
            compute_instance=made.compute_instance,
            profile=profile.name,
            profile_id=profile.id,
            placement=place,
        )
        return device, {MADE: spot.state()}

    async def undo(
        self, root: Path, prepared: PreparedClaim, gpus: Iterable[Gpu], *, dynamic: bool
    ) -> None:
        """Undo what was made for a claim; what is gone is no error.

        Args:
            root: the driver root.
            prepared: its devices; without state if `prepare` was interrupted: then their names say what was begun.
            gpus: those of the node.
            dynamic: whether devices are made at all now.

        Raises:
            DeviceBusyError: programs use one; the others are undone.
            PydraError: NVML refused, crashed or hangs.
        """
        uid, gpus = prepared.ref.uid, list(gpus)
        others = await self._held_by_others(uid)
        found = [
            (d, spot_of(d, gpus, guess=dynamic and d.device not in others))
            for d in prepared.devices
        ]
        mine = [(device, spot) for device, spot in found if spot]
        if mine:
            self._begun.setdefault(uid, set()).update(spot for _, spot in mine)
        failed: list[PydraError] = []
        for device, spot in mine:
            try:
                await self._destroy(root, device, spot)
            except PydraError as err:
                failed.append(err)
        if failed:
            raise failed[0]
        self._begun.pop(uid, None)

    def untouched(self, uid: str) -> bool:
        """Whether nothing was begun for a claim by this process."""
        return uid not in self._begun

    async def _read(self, root: Path, gpu: Gpu) -> Partitioning | None:
        try:
            sent = await self._driver.sdk(
                nvml.partitioning, str(root), gpu.uuid or "", timeout=_LOOK
            )
        except PydraError as err:
            why = str(err)
        else:
            found = reading.partitioning(sent)
            if not found.faults:
                return found
            why = "; ".join(found.faults)
        extra = {"gpu": gpu.uuid, "why": why}
        _log.warning("GPU cannot tell how it is cut; it stays published as it was", extra=extra)
        return None

    async def _check(self, claim: Claim, part: Part, there: Sequence[GpuInstance]) -> None:
        partition, uuid = _partition(part), part.gpu.uuid or ""
        for one in there:
            if not overlap(one.placement, partition.placement):
                continue
            spot = Spot.of(uuid, one)
            if partition.is_at(one) and await self._is_mine(claim, part, spot):
                continue
            for other in await self._driver.held():
                if other.ref.uid != claim.uid and spot in spots(other, [part.gpu]):
                    raise DeviceBusyError(
                        f"GPU {uuid}: slices of {partition.profile.name} at {partition.placement.start} are still in the"
                        f" hands of claim {other.ref}; they are free once that claim's last pod is gone",
                        device=uuid,
                    )
            self._driver.rediscover()
            raise DeviceError(
                f"GPU {uuid}: GPU instance {one.id} is in the way of {partition.profile.name} at"
                f" {partition.placement.start}, and no claim holds it; whoever made it must remove it"
                f" (nvidia-smi mig -i {uuid} -gi {one.id} -dci, then -dgi), or delete the pod, and its next claim gets"
                " what is free",
                device=uuid,
            )

    async def _is_mine(self, claim: Claim, part: Part, spot: Spot) -> bool:
        """Whether an instance is what was made for the claim: by this process, or as the journal says.

        A claim that is prepared and has no state was read back from its spec file.
        """
        if spot in self._begun.get(claim.uid, ()):
            return True
        held = [d for h in await self._driver.held() if h.ref.uid == claim.uid for d in h.devices]
        prepared = [d for d in held if MADE in d.state or (d.request and not d.state)]
        return any(spot_of(device, [part.gpu]) == spot for device in prepared)

    async def _held_by_others(self, uid: str) -> set[str]:
        held = await self._driver.held()
        return {device.device for h in held if h.ref.uid != uid for device in h.devices}

    async def _destroy(self, root: Path, device: PreparedDevice, spot: Spot) -> None:
        arguments = (spot.gpu, spot.profile_id, spot.start)
        extra = {"device": device.device, "gpu": spot.gpu}
        try:
            with named(f"device {device.device} of GPU {spot.gpu}"):
                was = await self._driver.sdk(
                    nvml.destroy_mig_device, str(root), *arguments, timeout=_CHANGE
                )
        except DeviceGoneError:
            _log.warning("MIG device is gone with its GPU", extra=extra)
            return
        finally:
            self._changed[spot] = time.monotonic()
        if not was:
            _log.info("MIG device was gone already", extra=extra)


def is_made(device: str) -> bool:
    """Whether a device of that name is made for its claim, where devices are."""
    return place_of(device) is not None


def missing(device: str, snapshot: Snapshot | None) -> str:
    """Why a device that was published to be made is no more; empty if it cannot be told."""
    place = place_of(device)
    gpu = snapshot.by_minor.get(place.minor) if place and snapshot else None
    if gpu is None:
        return ""
    if not gpu.partitioned:
        return f"MIG mode of GPU {gpu.uuid} is off; switch it on (nvidia-smi -i {gpu.uuid} -mig 1), or delete the pod"
    return (
        f"an instance that no claim holds is in its way on GPU {gpu.uuid} (nvidia-smi mig -lgi); whoever made that must"
        " remove it, or delete the pod, and its next claim gets what is free"
    )


def _partition(part: Part) -> Partition:
    if part.partition is None:
        raise ValueError(f"GPU {part.gpu.uuid}: is not to be cut")
    return part.partition
