"""From what the worker sent to values: decoded strictly, and joined with what the kernel says of the same GPUs.

The driver's own reading of the host happens here, and not in the worker, so that `host` may be any folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pydra_core.errors import VendorError
from pydra_core.values import NUMA_NODE, PCIE_ROOT, pci_attributes
from pydra_nvidia.condition import Condition, GpuEvent
from pydra_nvidia.gpus import CreatedMig, Gpu, GpuInstance, MigChoice, Partitioning, Snapshot
from pydra_nvidia.kernel import KernelGpu, kernel_gpus

_T = TypeVar("_T")


def snapshot(sent: Any, host: Path) -> Snapshot:
    """What `nvml.snapshot` returned, with PCIe roots and NUMA nodes of `host`.

    A GPU that NVML could not even name gets the name, minor number and UUID the kernel module has for it.

    Raises:
        VendorError: it is nothing a sane worker sends.
    """
    found = _decoded(sent, Snapshot, "snapshot")
    named = _named(found.gpus, kernel_gpus(host))
    return msgspec.structs.replace(found, gpus=tuple(_located(gpu, host) for gpu in named))


def conditions(sent: Any, host: Path) -> tuple[Condition, ...]:
    """What `nvml.health` returned; a GPU that NVML could not name has the UUID the kernel module knows.

    Raises:
        VendorError: it is nothing a sane worker sends.
    """
    found = _decoded(sent, tuple[Condition, ...], "health")
    if all(condition.uuid for condition in found):
        return found
    seen = {condition.uuid for condition in found}
    free = [kernel for kernel in kernel_gpus(host) if kernel.uuid not in seen]
    told = _told([condition.index for condition in found if not condition.uuid], free)
    named = {index: kernel.uuid for index, kernel in told.items()}
    return tuple(
        msgspec.structs.replace(condition, uuid=condition.uuid or named.get(condition.index))
        for condition in found
    )


def event(sent: Any, host: Path) -> GpuEvent:
    """What `nvml.reports` yielded; a GPU that NVML could not name has the UUID the kernel module knows.

    Raises:
        VendorError: it is nothing a sane worker sends.
    """
    found = _decoded(sent, GpuEvent, "reports")
    if found.uuid:
        return found
    known = kernel_gpus(host)
    uuid = known[found.index].uuid if 0 <= found.index < len(known) else None
    return msgspec.structs.replace(found, uuid=uuid)


def mig_profiles(sent: Any) -> tuple[MigChoice, ...]:
    """What `nvml.mig_profiles` returned.

    Raises:
        VendorError: it is nothing a sane worker sends.
    """
    return _decoded(sent, tuple[MigChoice, ...], "mig_profiles")


def gpu_instances(sent: Any) -> tuple[GpuInstance, ...]:
    """What `nvml.gpu_instances` returned.

    Raises:
        VendorError: it is nothing a sane worker sends.
    """
    return _decoded(sent, tuple[GpuInstance, ...], "gpu_instances")


def partitioning(sent: Any) -> Partitioning:
    """What `nvml.partitioning` returned.

    Raises:
        VendorError: it is nothing a sane worker sends.
    """
    return _decoded(sent, Partitioning, "partitioning")


def created(sent: Any) -> CreatedMig:
    """What `nvml.create_mig_device` returned.

    Raises:
        VendorError: it is nothing a sane worker sends.
    """
    return _decoded(sent, CreatedMig, "create_mig_device")


def _decoded(sent: Any, kind: type[_T], operation: str) -> _T:
    try:
        return msgspec.convert(sent, kind)
    except msgspec.ValidationError as err:
        raise VendorError(
            f"NVML worker: {operation} sent what cannot be: {err}; report it with the driver's version",
            operation=operation,
        ) from err


def _named(gpus: tuple[Gpu, ...], known: tuple[KernelGpu, ...]) -> list[Gpu]:
    """Match GPUs without a bus ID to those of the kernel that nobody else is: both come in order of bus IDs."""
    seen = {gpu.bus_id for gpu in gpus}
    by_bus = {kernel.bus_id: kernel for kernel in known}
    free = [kernel for kernel in known if kernel.bus_id not in seen]
    nameless = [gpu for gpu in gpus if gpu.bus_id is None]
    told = dict(zip((gpu.index for gpu in nameless), free, strict=False))
    if len(nameless) != len(
        free
    ):  # a GPU more or less than the kernel has: who is who cannot be told
        told = {}
    return [_completed(gpu, told.get(gpu.index) or by_bus.get(gpu.bus_id or "")) for gpu in gpus]


def _told(nameless: list[int], free: list[KernelGpu]) -> dict[int, KernelGpu]:
    """Who is who, by index; nothing if there is one more or less than the kernel has."""
    return dict(zip(nameless, free, strict=True)) if len(nameless) == len(free) else {}


def _completed(gpu: Gpu, kernel: KernelGpu | None) -> Gpu:
    if kernel is None:
        return gpu
    uuid = gpu.uuid or kernel.uuid
    return msgspec.structs.replace(
        gpu,
        bus_id=kernel.bus_id,
        minor=kernel.minor if gpu.minor is None else gpu.minor,
        uuid=uuid,
        name=gpu.name or kernel.name,
        condition=msgspec.structs.replace(gpu.condition, uuid=gpu.condition.uuid or uuid),
    )


def _located(gpu: Gpu, host: Path) -> Gpu:
    if gpu.bus_id is None:
        return gpu
    try:
        said = pci_attributes(host, gpu.bus_id)
    except ValueError as err:
        return msgspec.structs.replace(gpu, faults=(*gpu.faults, str(err)))
    root, node = said.get(PCIE_ROOT), said.get(NUMA_NODE)
    return msgspec.structs.replace(
        gpu,
        pcie_root=root if isinstance(root, str) else None,
        numa_node=node if isinstance(node, int) else None,
    )
