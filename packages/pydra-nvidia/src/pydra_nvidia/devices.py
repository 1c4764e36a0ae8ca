"""What is published: whole GPUs, and the MIG devices of those that are partitioned.

Names, attributes and capacities are those of NVIDIA's own driver and some more, all declared in `SCHEMA`. What is not
known is left out: a selector would match "unknown" by accident. Counts of errors are metrics, never attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pydra_core import Capacity, Device, Inventory, Version
from pydra_core.attributes import Attribute, Schema
from pydra_core.values import NUMA_NODE, PCI_BUS_ID, PCIE_ROOT, binary, semver
from pydra_nvidia.gpus import Engines, Gpu, Host, MigDevice, Snapshot
from pydra_nvidia.links import nvlink_groups, pcie_groups, with_links_down
from pydra_nvidia.names import gpu_name, mig_name

_Known: TypeAlias = dict[str, bool | int | str | Version | None]

SCHEMA: Schema = {
    "type": Attribute(type=str, meaning="gpu, or mig for a partition of one"),
    "uuid": Attribute(type=str, meaning="as CUDA and nvidia-smi name it"),
    "productName": Attribute(type=str, meaning="as nvidia-smi prints it", optional=True),
    "brand": Attribute(type=str, meaning="line of products", optional=True),
    "architecture": Attribute(type=str, meaning="Ampere, Hopper, Blackwell, …", optional=True),
    "cudaComputeCapability": Attribute(type=Version, meaning="what code it runs", optional=True),
    "driverVersion": Attribute(type=Version, meaning="of the kernel driver"),
    "cudaDriverVersion": Attribute(
        type=Version, meaning="newest CUDA the driver speaks", optional=True
    ),
    "addressingMode": Attribute(type=str, meaning="HMM or ATS", optional=True),
    "vbiosVersion": Attribute(type=str, meaning="firmware of the board", optional=True),
    "gpuModuleID": Attribute(type=int, meaning="place on the baseboard", optional=True),
    "eccEnabled": Attribute(type=bool, meaning="memory errors are corrected", optional=True),
    "migCapable": Attribute(type=bool, meaning="can be partitioned", optional=True),
    "linkHealthy": Attribute(
        type=bool, meaning="no NVLink of a whole GPU is down; true without any", optional=True
    ),
    "nvlinks": Attribute(type=int, meaning="NVLinks that are up", optional=True),
    "nvlinkGroup": Attribute(
        type=str, meaning="GPUs of a group are all linked by NVLink", optional=True
    ),
    "nvlinkGroupSize": Attribute(type=int, meaning="GPUs in that group", optional=True),
    "pcieGroup": Attribute(
        type=str, meaning="GPUs of a group meet at PCIe switches", optional=True
    ),
    "cliqueID": Attribute(type=str, meaning="NVLink domain and clique over nodes", optional=True),
    "parentUUID": Attribute(type=str, meaning="GPU a MIG device is part of", optional=True),
    "profile": Attribute(type=str, meaning="of a MIG device: 1g.10gb", optional=True),
    PCI_BUS_ID: Attribute(type=str, meaning="address on the PCI bus", optional=True),
    PCIE_ROOT: Attribute(type=str, meaning="PCIe root complex", optional=True),
    NUMA_NODE: Attribute(type=int, meaning="nearest memory of the host", optional=True),
    "memory": Attribute(type=Capacity, meaning="memory", unit="bytes", optional=True),
    "multiprocessors": Attribute(type=Capacity, meaning="streaming multiprocessors", optional=True),
    "copyEngines": Attribute(type=Capacity, meaning="engines that copy", optional=True),
    "decoders": Attribute(type=Capacity, meaning="video decoders", optional=True),
    "encoders": Attribute(type=Capacity, meaning="video encoders", optional=True),
    "jpegEngines": Attribute(type=Capacity, meaning="JPEG decoders", optional=True),
    "ofaEngines": Attribute(type=Capacity, meaning="optical flow accelerators", optional=True),
    **{
        f"memorySlice{n}": Attribute(
            type=Capacity, meaning="the memory slice of that number is its", optional=True
        )
        for n in range(8)
    },
}
"""What each device's attributes and capacities are. Names without a domain are `gpu.nvidia.com/…`."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one published device is: a GPU, or a MIG device of it."""

    gpu: Gpu
    mig: MigDevice | None = None

    @property
    def uuid(self) -> str | None:
        """Of the MIG device if it is one, else of the GPU."""
        return self.mig.uuid if self.mig else self.gpu.uuid


def parts(snapshot: Snapshot) -> dict[str, Part]:
    """The devices of the node by name, in the order of minor numbers, MIG devices in that of their places.

    A GPU that does not answer, or that cannot be told from others, is no device: nobody could use it.
    """
    known = (gpu for gpu in snapshot.gpus if gpu.minor is not None and gpu.uuid)
    usable = [gpu for gpu in known if not gpu.lost and not gpu.condition.left_out]
    found = (part for gpu in sorted(usable, key=_minor) for part in _parts(gpu))
    named = ((_name(part), part) for part in found)
    return {name: part for name, part in named if name}


def inventory(snapshot: Snapshot, links: Mapping[str, frozenset[int]] | None = None) -> Inventory:
    """All that is published of the node.

    Args:
        snapshot: of now.
        links: NVLinks that worked earlier, by bus ID.
    """
    down = with_links_down(snapshot, links or {})
    groups = {
        "nvlinkGroup": _members(snapshot, nvlink_groups(snapshot)),
        "pcieGroup": _members(snapshot, pcie_groups(snapshot)),
    }
    return Inventory(
        *(
            Device(
                name,
                attributes=_attributes(part, snapshot, groups, linked=part.gpu.index not in down),
                capacity=_capacity(part),
            )
            for name, part in parts(snapshot).items()
        )
    )


def _parts(gpu: Gpu) -> Iterator[Part]:
    if not gpu.partitioned:
        yield Part(gpu)
        return
    for mig in sorted(gpu.mig_devices, key=_place):
        if mig.uuid:
            yield Part(gpu, mig)


def _name(part: Part) -> str | None:
    return mig_name(part.gpu, part.mig) if part.mig else gpu_name(part.gpu)


def _minor(gpu: Gpu) -> int:
    return -1 if gpu.minor is None else gpu.minor


def _place(mig: MigDevice) -> tuple[int, int, int]:
    return mig.placement.start if mig.placement else -1, mig.gpu_instance, mig.compute_instance


def _members(snapshot: Snapshot, groups: Iterable[tuple[int, ...]]) -> dict[int, tuple[str, int]]:
    """For each GPU, by index, its group's name, which is that of the lowest minor number in it, and size."""
    minors = {gpu.index: gpu.minor for gpu in snapshot.gpus}
    found: dict[int, tuple[str, int]] = {}
    for group in groups:
        known = [minor for index in group if (minor := minors.get(index)) is not None]
        if known:
            found |= dict.fromkeys(group, (f"gpu-{min(known)}", len(group)))
    return found


def _attributes(
    part: Part,
    snapshot: Snapshot,
    groups: Mapping[str, Mapping[int, tuple[str, int]]],
    *,
    linked: bool,
) -> dict[str, bool | int | str | Version]:
    own = (
        _of_mig(part.gpu, part.mig)
        if part.mig
        else _of_gpu(part.gpu, groups) | {"linkHealthy": linked}
    )
    known = _common(part.gpu, snapshot.host) | own
    return {name: value for name, value in known.items() if value is not None and value != ""}


def _common(gpu: Gpu, host: Host) -> _Known:
    return {
        "uuid": gpu.uuid,
        "productName": gpu.name,
        "brand": gpu.brand,
        "architecture": gpu.architecture,
        "cudaComputeCapability": semver(gpu.compute_capability or ""),
        "driverVersion": semver(host.driver),
        "cudaDriverVersion": semver(host.cuda),
        "addressingMode": gpu.addressing_mode,
        "eccEnabled": gpu.ecc.current if gpu.ecc else None,
        PCI_BUS_ID: gpu.bus_id,
        PCIE_ROOT: gpu.pcie_root,
        NUMA_NODE: gpu.numa_node,
    }


def _of_gpu(gpu: Gpu, groups: Mapping[str, Mapping[int, tuple[str, int]]]) -> _Known:
    nvlink = groups["nvlinkGroup"].get(gpu.index)
    pcie = groups["pcieGroup"].get(gpu.index)
    return {
        "type": "gpu",
        "vbiosVersion": gpu.vbios,
        "gpuModuleID": gpu.module_id,
        "migCapable": gpu.mig is not None,
        "nvlinks": sum(link.active for link in gpu.links) or None,
        "nvlinkGroup": nvlink[0] if nvlink else None,
        "nvlinkGroupSize": nvlink[1] if nvlink else None,
        "pcieGroup": pcie[0] if pcie else None,
        "cliqueID": gpu.fabric.clique_id if gpu.fabric else None,
    }


def _of_mig(gpu: Gpu, mig: MigDevice) -> _Known:
    """Fewer than a GPU has: MIG devices reach no peers, and a device has 32 attributes and capacities at most."""
    return {"type": "mig", "uuid": mig.uuid, "parentUUID": gpu.uuid, "profile": mig.profile}


def _capacity(part: Part) -> dict[str, str | int]:
    gpu, mig = part.gpu, part.mig
    known = _counts(mig or gpu.engines)
    if mig is None:
        return known | ({"memory": binary(gpu.memory.total)} if gpu.memory else {})
    if mig.memory is not None:
        known["memory"] = binary(mig.memory)
    if mig.placement:
        start, size = mig.placement.start, mig.placement.size
        known |= {f"memorySlice{n}": 1 for n in range(start, start + size)}
    return known


def _counts(of: MigDevice | Engines | None) -> dict[str, str | int]:
    """What it has of everything that is counted; nothing where that is not known."""
    if of is None:
        return {}
    counts = {
        "multiprocessors": of.multiprocessors,
        "copyEngines": of.copy_engines,
        "decoders": of.decoders,
        "encoders": of.encoders,
        "jpegEngines": of.jpeg_engines,
        "ofaEngines": of.ofa_engines,
    }
    return {name: count for name, count in counts.items() if count is not None}
