"""Which partitions a GPU can be cut into: asked of NVML, never taken from a table."""

from __future__ import annotations

from typing import Any

from pydra_nvidia._nvml.asking import Asking, listed
from pydra_nvidia._nvml.errors import pynvml

_MIB = 1 << 20
_MOST_PLACEMENTS = 64
_ENGINES = {
    "multiprocessors": "multiprocessorCount",
    "copy_engines": "copyEngineCount",
    "decoders": "decoderCount",
    "encoders": "encoderCount",
    "jpeg_engines": "jpegCount",
    "ofa_engines": "ofaCount",
}


def profiles(gpu: Asking) -> list[dict[str, Any]]:
    """The kinds of GPU instances, in NVML's order; none for a GPU that cannot be partitioned."""
    found = (_profile(gpu, number) for number in range(pynvml.NVML_GPU_INSTANCE_PROFILE_COUNT))
    return [profile for profile in found if profile]


def engines(gpu: Asking) -> dict[str, int] | None:
    """The most of each that any kind of GPU instance has, which is what the whole GPU has; None if it tells no kinds."""
    infos = [
        info
        for number in range(pynvml.NVML_GPU_INSTANCE_PROFILE_COUNT)
        if (info := gpu.one("nvmlDeviceGetGpuInstanceProfileInfo", number)) is not None
    ]
    return (
        {name: max(getattr(info, field) for info in infos) for name, field in _ENGINES.items()}
        if infos
        else None
    )


def _profile(gpu: Asking, number: int) -> dict[str, Any] | None:
    info = gpu.one("nvmlDeviceGetGpuInstanceProfileInfo", number)
    if info is None:
        return None
    return {
        "id": info.id,
        "name": str(info.name).removeprefix("MIG "),
        "slices": info.sliceCount,
        "most": info.instanceCount,
        "memory": info.memorySizeMB * _MIB,
        **{name: getattr(info, field) for name, field in _ENGINES.items()},
        "placements": _placements(gpu, info.id),
    }


def _placements(gpu: Asking, profile_id: int) -> list[dict[str, int]]:
    call = "nvmlDeviceGetGpuInstancePossiblePlacements"
    found = listed(gpu, call, "c_nvmlGpuInstancePlacement_t", _MOST_PLACEMENTS, profile_id)
    return [{"start": place.start, "size": place.size} for place in found]
