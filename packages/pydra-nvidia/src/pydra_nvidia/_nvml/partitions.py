"""The MIG devices that exist now."""

from __future__ import annotations

from typing import Any

from pydra_nvidia._nvml.asking import Asking
from pydra_nvidia._nvml.profiles import engines

_MIB = 1 << 20


def partitions(gpu: Asking) -> dict[str, Any]:
    """How many MIG devices a GPU may have, and those it has."""
    most = gpu("nvmlDeviceGetMaxMigDeviceCount") or 0
    mode = gpu("nvmlDeviceGetMigMode")
    devices: list[dict[str, Any]] = []
    if mode and mode[0]:
        shapes: dict[int, dict[str, Any]] = {}
        for index in range(most):
            handle = gpu.one("nvmlDeviceGetMigDeviceHandleByIndex", index)
            device = _device(index, gpu, Asking(handle), shapes) if handle else None
            devices += [device] if device else []
    whole = engines(gpu) if mode else None
    return {"mig_most": most or None, "mig_devices": devices, "engines": whole}


def _device(
    index: int, gpu: Asking, part: Asking, shapes: dict[int, dict[str, Any]]
) -> dict[str, Any] | None:
    """One MIG device; None if it does not even tell its IDs, which nobody can use."""
    instance = part("nvmlDeviceGetGpuInstanceId")
    compute = part("nvmlDeviceGetComputeInstanceId")
    gpu.hears(part)
    if instance is None or compute is None:
        gpu.faults += part.faults
        return None
    told = {"index": index, "uuid": part("nvmlDeviceGetUUID")}
    told |= {"gpu_instance": instance, "compute_instance": compute, **_attributes(part)}
    if instance not in shapes:
        shapes[instance] = _shape(gpu, part, instance)
    shape = shapes[instance]
    told |= {key: shape.get(key) for key in ("profile_id", "placement")}
    told["profile"] = _profile(shape.get("name"), told, part)
    gpu.hears(part)
    return {**told, "faults": part.faults}


def _attributes(part: Asking) -> dict[str, Any]:
    told = part("nvmlDeviceGetAttributes")
    if told is None:
        return {}
    return {
        "memory": told.memorySizeMB * _MIB,
        "multiprocessors": told.multiprocessorCount,
        "copy_engines": told.sharedCopyEngineCount,
        "decoders": told.sharedDecoderCount,
        "encoders": told.sharedEncoderCount,
        "jpeg_engines": told.sharedJpegCount,
        "ofa_engines": told.sharedOfaCount,
        "gpu_slices": told.gpuInstanceSliceCount,
        "compute_slices": told.computeInstanceSliceCount,
    }


def _shape(gpu: Asking, part: Asking, instance: int) -> dict[str, Any]:
    """What a GPU instance was created as. Reading it takes more rights than reading its devices."""
    whole = Asking(gpu.handle)
    handle = whole("nvmlDeviceGetGpuInstanceById", instance)
    info = None if handle is None else Asking(handle)("nvmlGpuInstanceGetInfo")
    part.faults += whole.faults
    if info is None:
        return {}
    place = {"start": info.placement.start, "size": info.placement.size}
    name = _name(whole, info.profileId)
    return {"profile_id": info.profileId, "placement": place, "name": name}


def _name(gpu: Asking, profile_id: int) -> str | None:
    info = gpu("nvmlDeviceGetGpuInstanceProfileInfoById", profile_id)
    return None if info is None else str(info.name).removeprefix("MIG ") or None


def _profile(name: str | None, told: dict[str, Any], part: Asking) -> str | None:
    """As `nvidia-smi` spells it: a part of an instance has its own slices in front."""
    slices, of = told.get("compute_slices"), told.get("gpu_slices")
    if name:
        return f"{slices}c.{name}" if slices and of and slices < of else name
    whole = part("nvmlDeviceGetName")
    return str(whole).rpartition(" MIG ")[2] if whole and " MIG " in whole else None
