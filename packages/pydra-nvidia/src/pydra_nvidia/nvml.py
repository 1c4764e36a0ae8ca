"""The SDK module: NVML, in the shield's worker.

The driver names these functions and never imports this module; what they return are plain values that
`pydra_nvidia.reading` turns into ours. `root` is the driver root, as this process sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydra_core.errors import DeviceGoneError, VendorError
from pydra_core.sdk import events, mutates, reads
from pydra_nvidia._nvml import identity, instances, links, partitions
from pydra_nvidia._nvml.asking import Asking, asked, opened, required
from pydra_nvidia._nvml.errors import meaning, pynvml
from pydra_nvidia._nvml.health import condition
from pydra_nvidia._nvml.profiles import profiles
from pydra_nvidia._nvml.session import begin, of_system
from pydra_nvidia._nvml.watching import Watching
from pydra_nvidia._nvml.words import COMPUTE_MODES

_THOUSAND = 1000


@reads
def snapshot(root: str, without: dict[str, str] | None = None) -> dict[str, Any]:
    """All GPUs of the node: `reading.snapshot`.

    Args:
        root: the driver root.
        without: GPUs that are not asked, by index, and why.

    Raises:
        VendorError: NVML cannot be used at all; a GPU that cannot be read is no error, and says so in `faults`.
    """
    begin(root)
    left_out = without or {}
    gpus = [asked(index, left_out) for index in range(of_system("nvmlDeviceGetCount"))]
    told = [_gpu(index, gpu) for index, gpu in enumerate(gpus)]
    for one in told:
        one["condition"]["left_out"] = left_out.get(str(one["index"]), "")
    return {"host": _host(), "gpus": told, "ancestors": links.ancestors(gpus)}


@reads
def health(root: str, without: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """How each GPU is: `reading.conditions`.

    Args:
        root: the driver root.
        without: GPUs that are not asked, by index, and why.

    Raises:
        VendorError: NVML cannot be used at all.
    """
    begin(root)
    left_out = without or {}
    told = [
        condition(index, asked(index, left_out)) for index in range(of_system("nvmlDeviceGetCount"))
    ]
    return [{**one, "left_out": left_out.get(str(one["index"]), "")} for one in told]


@reads
def count(root: str) -> int:
    """How many GPUs there are.

    Raises:
        VendorError: NVML cannot be used at all.
    """
    begin(root)
    return int(of_system("nvmlDeviceGetCount"))


@reads
def try_out(root: str, index: int) -> None:
    """Ask one GPU all that it is ever asked; whoever calls wants to know whether this worker survives it.

    Raises:
        VendorError: NVML cannot be used at all.
    """
    begin(root)
    gpu = opened(index)
    _gpu(index, gpu)
    gpu("nvmlDeviceGetSupportedEventTypes")


@events
def reports(
    root: str, retry: float = 10.0, without: dict[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """What GPUs report by themselves, each a `reading.event`; first for each GPU whether it is watched.

    Args:
        root: the driver root.
        retry: seconds after which those that are not watched are tried again, if a reset brought them back.
        without: GPUs that are not watched, by index, and why.

    Raises:
        VendorError: NVML cannot be used at all.
    """
    begin(root)
    yield from Watching(retry, without).run()


@mutates
def set_compute_mode(root: str, uuid: str, mode: str) -> str:
    """Let a GPU take programs in another way: `default`, `exclusive_process` or `prohibited`.

    Returns:
        The mode it had.

    Raises:
        DeviceGoneError: there is no such GPU, or it is lost.
        VendorError: it was refused.
    """
    begin(root)
    gpu = _with_uuid(uuid)
    numbers = {name: number for number, name in COMPUTE_MODES.items()}
    if mode not in numbers:
        raise VendorError(f"GPU {uuid}: {mode!r} is no compute mode; take one of {[*numbers]}")
    before = int(required(gpu, uuid, "nvmlDeviceGetComputeMode"))
    if before != numbers[mode]:
        required(gpu, uuid, "nvmlDeviceSetComputeMode", numbers[mode])
    return COMPUTE_MODES.get(before, f"mode-{before}")


@reads
def compute_mode(root: str, uuid: str) -> str:
    """How a GPU takes programs: `default`, `exclusive_process` or `prohibited`.

    Raises:
        DeviceGoneError: there is no such GPU, or it is lost.
        VendorError: NVML does not tell.
    """
    begin(root)
    mode = int(required(_with_uuid(uuid), uuid, "nvmlDeviceGetComputeMode"))
    return COMPUTE_MODES.get(mode, f"mode-{mode}")


@reads
def mig_profiles(root: str) -> list[dict[str, Any]]:
    """Which partitions each GPU can be cut into: `reading.mig_profiles`.

    Raises:
        VendorError: NVML cannot be used at all.
    """
    begin(root)
    gpus = enumerate(opened(index) for index in range(of_system("nvmlDeviceGetCount")))
    return [
        {
            "index": index,
            "uuid": identity.uuid(index, gpu),
            "profiles": profiles(gpu),
            "faults": gpu.faults,
        }
        for index, gpu in gpus
    ]


@reads
def gpu_instances(root: str, uuid: str) -> list[dict[str, Any]]:
    """The GPU instances of one GPU, also those without a compute instance: `reading.gpu_instances`.

    Raises:
        DeviceGoneError: there is no such GPU, or it is lost.
        VendorError: it was refused; it takes the right to create some.
    """
    begin(root)
    return [one.told() for one in instances.instances(uuid, _with_uuid(uuid))]


@reads
def partitioning(root: str, uuid: str) -> dict[str, Any]:
    """What one GPU can be cut into, and is cut into: `reading.partitioning`.

    Raises:
        DeviceGoneError: there is no such GPU, or it is lost.
        VendorError: its instances cannot be read; that takes the right to create some.
    """
    begin(root)
    gpu = _with_uuid(uuid)
    there = [one.told() for one in instances.instances(uuid, gpu)]
    return {"profiles": profiles(gpu), "instances": there, "faults": gpu.faults}


@mutates
def create_mig_device(
    root: str, uuid: str, profile_id: int, start: int, size: int
) -> dict[str, Any]:
    """Make a MIG device of a whole GPU instance at a placement; the one that is there is taken: `reading.created`.

    Raises:
        DeviceGoneError: there is no such GPU, or it is lost.
        VendorError: another instance is in the way, or it was refused.
    """
    begin(root)
    return instances.make(uuid, _with_uuid(uuid), profile_id, start, size)


@mutates
def destroy_mig_device(root: str, uuid: str, profile_id: int, start: int) -> bool:
    """Undo the GPU instance of a profile at a placement with all that is in it; another one there stays.

    Returns:
        Whether there was one.

    Raises:
        DeviceBusyError: programs use it.
        DeviceGoneError: there is no such GPU, or it is lost.
    """
    begin(root)
    return instances.remove(uuid, _with_uuid(uuid), profile_id, start)


@mutates
def set_mig_mode(root: str, uuid: str, *, on: bool) -> bool:
    """Let a GPU be partitioned, or whole again.

    Returns:
        Whether the mode holds now; if not, it will after a reset of the GPU.

    Raises:
        DeviceBusyError: it has instances, or programs use it.
        DeviceGoneError: there is no such GPU, or it is lost.
        VendorError: it cannot be partitioned.
    """
    begin(root)
    gpu = _with_uuid(uuid)
    if required(gpu, uuid, "nvmlDeviceGetMigMode") != [int(on), int(on)]:
        status = required(gpu, uuid, "nvmlDeviceSetMigMode", int(on))
        if status not in {pynvml.NVML_SUCCESS, pynvml.NVML_ERROR_RESET_REQUIRED}:
            raise meaning(pynvml.NVMLError(status), "nvmlDeviceSetMigMode", uuid)
    return bool(required(gpu, uuid, "nvmlDeviceGetMigMode")[0] == int(on))


def _host() -> dict[str, Any]:
    cuda = of_system("nvmlSystemGetCudaDriverVersion")
    return {
        "driver": of_system("nvmlSystemGetDriverVersion"),
        "nvml": of_system("nvmlSystemGetNVMLVersion"),
        "cuda": f"{cuda // _THOUSAND}.{cuda % _THOUSAND // 10}",
    }


def _gpu(index: int, gpu: Asking) -> dict[str, Any]:
    told = {"index": index, **identity.identity(index, gpu)}
    told |= identity.make(gpu)
    told |= identity.modes(gpu)
    told |= partitions.partitions(gpu) if told["mig"] else {}
    told |= {"links": links.links(gpu), "fabric": links.fabric(gpu)}
    before = list(gpu.faults)
    return {**told, "condition": condition(index, gpu), "faults": before}


def _with_uuid(uuid: str) -> Asking:
    """Found by asking each: looking it up by UUID takes NVML seconds when others use it."""
    for index in range(of_system("nvmlDeviceGetCount")):
        gpu = opened(index)
        if identity.uuid(index, gpu) == uuid:
            return gpu
    raise DeviceGoneError(f"GPU {uuid}: NVML does not have it any more; see the kernel log", device=uuid)  # fmt: skip
