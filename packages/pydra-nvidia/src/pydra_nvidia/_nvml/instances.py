"""GPU instances and the compute instances in them: looked up, made and undone by placement.

A placement says which slices, so it tells an instance from all others also when whoever made it died before noting
its ID. Making what is there, and undoing what is not, are therefore no errors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

from pydra_core.errors import VendorError
from pydra_nvidia._nvml.asking import Asking, insist, listed, required
from pydra_nvidia._nvml.errors import pynvml

_MOST = 16
_SHARED = 0
"""Compute instances share the engines of their GPU instance; NVML has no other way."""


class Instance:
    """A GPU instance, of the GPU with that name."""

    def __init__(self, gpu: str, handle: Any) -> None:
        self.gpu = gpu
        self.asking = Asking(handle)
        info = required(self.asking, gpu, "nvmlGpuInstanceGetInfo")
        self.id, self.profile_id = info.id, info.profileId
        self.start, self.size = info.placement.start, info.placement.size

    def computes(self) -> Iterator[tuple[int, Asking]]:
        """Its compute instances, with their IDs."""
        for profile in self._profiles():
            call = "nvmlGpuInstanceGetComputeInstances"
            for handle in listed(self.asking, call, "c_nvmlComputeInstance_t", _MOST, profile.id):
                one = Asking(handle)
                yield required(one, self.gpu, "nvmlComputeInstanceGetInfo").id, one
        insist(self.asking, self.gpu)

    def fill(self) -> int:
        """Make a compute instance of all its slices, unless it has one; the ID."""
        for number, _ in self.computes():
            return number
        whole = max(self._profiles(), key=lambda profile: int(profile.sliceCount))
        insist(self.asking, self.gpu)
        call = "nvmlGpuInstanceCreateComputeInstance"
        made = Asking(required(self.asking, self.gpu, call, whole.id))
        return int(required(made, self.gpu, "nvmlComputeInstanceGetInfo").id)

    def destroy(self) -> None:
        """Undo it and what is in it."""
        for _, compute in [*self.computes()]:
            required(compute, self.gpu, "nvmlComputeInstanceDestroy")
        required(self.asking, self.gpu, "nvmlGpuInstanceDestroy")

    def told(self) -> dict[str, Any]:
        """As values."""
        place = {"start": self.start, "size": self.size}
        computes = [number for number, _ in self.computes()]
        return {"id": self.id, "profile_id": self.profile_id, "placement": place, "computes": computes}  # fmt: skip

    def _profiles(self) -> list[Any]:
        call = "nvmlGpuInstanceGetComputeInstanceProfileInfo"
        numbers = range(pynvml.NVML_COMPUTE_INSTANCE_PROFILE_COUNT)
        found = [self.asking.one(call, number, _SHARED) for number in numbers]
        return [profile for profile in found if profile is not None]


def instances(name: str, gpu: Asking) -> list[Instance]:
    """The GPU instances there are, by placement."""
    if not required(gpu, name, "nvmlDeviceGetMigMode")[0]:
        return []
    found = []
    for number in range(pynvml.NVML_GPU_INSTANCE_PROFILE_COUNT):
        profile = gpu.one("nvmlDeviceGetGpuInstanceProfileInfo", number)
        if profile is not None:
            call = "nvmlDeviceGetGpuInstances"
            handles = listed(gpu, call, "c_nvmlGpuInstance_t", _MOST, profile.id)
            found += [Instance(name, handle) for handle in handles]
    insist(gpu, name)  # what could not be read must not pass for what is not there
    return sorted(found, key=lambda one: one.start)


def make(name: str, gpu: Asking, profile_id: int, start: int, size: int) -> dict[str, Any]:
    """Make a GPU instance at a placement with one compute instance in it, or take the one that is there.

    Raises:
        VendorError: something else is there, or MIG mode is off.
    """
    for one in instances(name, gpu):
        if one.start < start + size and start < one.start + one.size:
            if (one.profile_id, one.start, one.size) == (profile_id, start, size):
                return _filled(one, gpu)
            raise VendorError(
                f"GPU {name}: slices {start} to {start + size - 1} are taken by GPU instance {one.id};"
                " remove it, or choose another placement",
                device=name,
            )
    if not required(gpu, name, "nvmlDeviceGetMigMode")[0]:
        raise VendorError(
            f"MIG mode of GPU {name} is off; switch it on (nvidia-smi -i {name} -mig 1), or delete the pod",
            device=name,
        )
    place = pynvml.c_nvmlGpuInstancePlacement_t(start, size)
    call = "nvmlDeviceCreateGpuInstanceWithPlacement"
    handle = required(gpu, name, call, profile_id, ctypes.byref(place))
    one = Instance(name, handle)
    try:
        return _filled(one, gpu)
    except Exception:
        one.destroy()
        raise


def remove(name: str, gpu: Asking, profile_id: int, start: int) -> bool:
    """Undo the GPU instance of a profile at a placement; whether there was one."""
    for one in instances(name, gpu):
        if (one.profile_id, one.start) == (profile_id, start):
            one.destroy()
            return True
    return False


def _filled(one: Instance, gpu: Asking) -> dict[str, Any]:
    compute = one.fill()
    return {"gpu_instance": one.id, "compute_instance": compute, "uuid": _uuid(one, compute, gpu)}


def _uuid(one: Instance, compute: int, gpu: Asking) -> str | None:
    for index in range(required(gpu, one.gpu, "nvmlDeviceGetMaxMigDeviceCount")):
        handle = gpu.one("nvmlDeviceGetMigDeviceHandleByIndex", index)
        part = Asking(handle)
        ids = (part("nvmlDeviceGetGpuInstanceId"), part("nvmlDeviceGetComputeInstanceId")) if handle else ()  # fmt: skip
        if ids == (one.id, compute):
            uuid = part("nvmlDeviceGetUUID")
            return None if uuid is None else str(uuid)
    return None
