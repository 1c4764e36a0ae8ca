"""What the GPUs of a node are: frozen values, as NVML and the kernel tell.

The driver's rooms speak of these and never of NVML. A field is None when this GPU or this driver version has no such
thing; what should be readable and is not, is named in `faults` of the GPU it belongs to, and spoils no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Literal

import msgspec

from pydra_nvidia.condition import Condition

_VOLTA, _AMPERE_A100 = (7, 0), (8, 0)
_FEW_CORES, _MANY_CORES = 64, 128
"""CUDA cores of a multiprocessor, by the tables of the CUDA programming guide: up to the A100, and in all newer ones."""
FabricState = Literal["not_supported", "not_started", "in_progress", "completed"]
RemoteKind = Literal["gpu", "switch", "npu", "unknown"]


class Ancestor(IntEnum):
    """Where the ways of two GPUs to each other meet, nearest first, with the words of `nvidia-smi topo`."""

    INTERNAL = 0
    PIX = 10
    PXB = 20
    PHB = 30
    NODE = 40
    SYS = 50


class _Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes from the worker is decoded strictly: a corrupt process must not be believed."""


class Host(_Value, frozen=True, kw_only=True):
    """The driver of the node: `driver` as in `580.95.05`, `cuda` as in `13.0`."""

    driver: str
    nvml: str
    cuda: str


class Memory(_Value, frozen=True, kw_only=True):
    """Bytes. `total` includes `reserved`, which the driver keeps for itself and no program gets."""

    total: int
    reserved: int | None = None


class Mode(_Value, frozen=True, kw_only=True):
    """A mode that takes effect at a reset: what is, and what will be after it."""

    current: bool
    pending: bool

    @property
    def settled(self) -> bool:
        """Whether no reset is waited for."""
        return self.current == self.pending


class Placement(_Value, frozen=True, kw_only=True):
    """Memory slices of a GPU, or compute slices of a GPU instance: [start, start + size)."""

    start: int
    size: int


class MigDevice(_Value, frozen=True, kw_only=True):
    """A compute instance in its GPU instance: what a container sees as a device.

    Attributes:
        index: Of the MIG device on its GPU; changes as others come and go.
        gpu_instance: Its ID, unique on the GPU for as long as it exists.
        compute_instance: Its ID, unique in the GPU instance.
        profile: As `nvidia-smi` spells it: `1g.10gb`, `1g.10gb+me`, `1c.3g.40gb`.
        profile_id: Of the GPU instance, as given to create it.
        placement: Of the GPU instance in the GPU.
        memory: Bytes.
        multiprocessors: Streaming multiprocessors of the compute instance.
    """

    index: int
    uuid: str | None = None
    gpu_instance: int
    compute_instance: int
    profile: str | None = None
    profile_id: int | None = None
    placement: Placement | None = None
    memory: int | None = None
    multiprocessors: int | None = None
    copy_engines: int | None = None
    decoders: int | None = None
    encoders: int | None = None
    jpeg_engines: int | None = None
    ofa_engines: int | None = None
    gpu_slices: int | None = None
    compute_slices: int | None = None
    faults: tuple[str, ...] = ()


class Engines(_Value, frozen=True, kw_only=True):
    """What is counted of a whole GPU, which only partitionable ones tell, or of one kind of its partitions."""

    multiprocessors: int
    copy_engines: int
    decoders: int
    encoders: int
    jpeg_engines: int
    ofa_engines: int


class MigProfile(Engines, frozen=True, kw_only=True):
    """A kind of GPU instance that a GPU can be cut into.

    Attributes:
        id: What creates one; differs between GPUs.
        name: `1g.10gb`.
        slices: Compute slices.
        most: How many of this kind fit, by themselves.
        memory: Bytes.
        placements: Memory slices one can take.
    """

    id: int
    name: str
    slices: int
    most: int
    memory: int
    placements: tuple[Placement, ...]


class MigChoice(_Value, frozen=True, kw_only=True):
    """What one GPU can be cut into; no profiles if it cannot be partitioned."""

    index: int
    uuid: str | None = None
    profiles: tuple[MigProfile, ...] = ()
    faults: tuple[str, ...] = ()


class GpuInstance(_Value, frozen=True, kw_only=True):
    """A GPU instance that exists, with the IDs of its compute instances; without any it is nobody's device."""

    id: int
    profile_id: int
    placement: Placement
    computes: tuple[int, ...] = ()


class Partitioning(_Value, frozen=True, kw_only=True):
    """What one GPU can be cut into, and is cut into now; `faults` say what could not be read of it."""

    profiles: tuple[MigProfile, ...] = ()
    instances: tuple[GpuInstance, ...] = ()
    faults: tuple[str, ...] = ()


class CreatedMig(_Value, frozen=True, kw_only=True):
    """A MIG device that was made, or found where it was to be made."""

    gpu_instance: int
    compute_instance: int
    uuid: str | None = None


class NvLink(_Value, frozen=True, kw_only=True):
    """One NVLink of a GPU. `remote_bus_id` is that of a GPU or of an NVSwitch, as `remote` says."""

    link: int
    active: bool
    version: str | None = None
    remote: RemoteKind | None = None
    remote_bus_id: str | None = None


class Fabric(_Value, frozen=True, kw_only=True):
    """The NVLink domain a GPU belongs to, as the fabric manager registered it."""

    state: FabricState
    status: int
    cluster_uuid: str | None = None
    clique: int
    health_mask: int | None = None

    @property
    def clique_id(self) -> str | None:
        """Domain and clique in one word, as upstream labels nodes; None outside of an IMEX domain."""
        if self.cluster_uuid is None or self.state != "completed" or self.status:
            return None
        return f"{self.cluster_uuid}.{self.clique}"


class Gpu(_Value, frozen=True, kw_only=True):
    """One GPU.

    Attributes:
        index: NVML's: the order of bus IDs in the driver's process; not stable over a restart of it.
        minor: N of `/dev/nvidiaN`, and of `gpuN` below `/proc/driver/nvidia/capabilities`.
        bus_id: As Kubernetes spells it: `0000:3b:00.0`.
        architecture: `Hopper`; a number NVML has and we have no word for is `architecture-14`.
        compute_capability: `9.0`.
        cores: CUDA cores, of which a multiprocessor has 64 or 128.
        module_id: Place on the baseboard.
        addressing_mode: `HMM`, `ATS`, or `None` as NVML says for neither.
        mig: None on a GPU that cannot be partitioned.
        mig_devices: Those that exist now, by index.
        links: Empty without NVLink.
        pcie_root: From sysfs.
        numa_node: From sysfs; NVML's own is that of a coherent GPU's memory.
        condition: As `Condition` of the health reading.
        faults: Calls that failed, one text each.
    """

    index: int
    minor: int | None = None
    uuid: str | None = None
    name: str | None = None
    brand: str | None = None
    architecture: str | None = None
    compute_capability: str | None = None
    cores: int | None = None
    serial: str | None = None
    board_part: str | None = None
    vbios: str | None = None
    module_id: int | None = None
    bus_id: str | None = None
    pci_device: int | None = None
    pci_subsystem: int | None = None
    memory: Memory | None = None
    addressing_mode: str | None = None
    virtualization: str | None = None
    persistence: bool | None = None
    compute_mode: str | None = None
    power_limit: int | None = None
    ecc: Mode | None = None
    mig: Mode | None = None
    mig_most: int | None = None
    engines: Engines | None = None
    mig_devices: tuple[MigDevice, ...] = ()
    links: tuple[NvLink, ...] = ()
    fabric: Fabric | None = None
    pcie_root: str | None = None
    numa_node: int | None = None
    condition: Condition
    faults: tuple[str, ...] = ()

    @property
    def lost(self) -> bool:
        """NVML says so: it fell off the bus, or needs a reset before anything else."""
        return self.condition.lost

    @property
    def multiprocessors(self) -> int | None:
        """Streaming multiprocessors, told by all kinds of GPUs: by their engines, or else by their cores."""
        if self.engines:
            return self.engines.multiprocessors
        generation = tuple(map(int, (self.compute_capability or "0").split(".")))
        if self.cores is None or generation < _VOLTA:
            return None
        return self.cores // (_FEW_CORES if generation <= _AMPERE_A100 else _MANY_CORES)

    @property
    def partitioned(self) -> bool:
        """Whether programs can use its MIG devices only."""
        return self.mig is not None and self.mig.current


class Snapshot(_Value, frozen=True, kw_only=True):
    """All GPUs of the node at one time.

    Attributes:
        gpus: By index.
        ancestors: For each pair of indices an `Ancestor`; None where NVML could not tell, and for a GPU with itself.
    """

    host: Host
    gpus: tuple[Gpu, ...]
    ancestors: tuple[tuple[int | None, ...], ...] = ()

    @property
    def by_uuid(self) -> Mapping[str, Gpu]:
        """The GPUs whose UUID could be read."""
        return MappingProxyType({gpu.uuid: gpu for gpu in self.gpus if gpu.uuid})

    @property
    def by_minor(self) -> Mapping[int, Gpu]:
        """The GPUs whose minor number is known."""
        return MappingProxyType({gpu.minor: gpu for gpu in self.gpus if gpu.minor is not None})
