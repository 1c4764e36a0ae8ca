"""What is published: whole GPUs, and the MIG devices of those that are partitioned.

Names, attributes and capacities are those of NVIDIA's own driver and some more, all declared in `SCHEMA`. What is not
known is left out: a selector would match "unknown" by accident. Counts of errors are metrics, never attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from pydra_core import Capacity, Consumption, CounterSet, Device, Inventory, Version
from pydra_core.attributes import Attribute, Schema
from pydra_core.values import NUMA_NODE, PCI_BUS_ID, PCIE_ROOT, binary, semver
from pydra_nvidia.gpus import Engines, Gpu, Host, MigDevice, MigProfile, Placement, Snapshot
from pydra_nvidia.links import nvlink_groups, pcie_groups, with_links_down
from pydra_nvidia.partitions import Cut
from pydra_nvidia.parts import NO_CUTS, NO_OFFERS, Part, parts
from pydra_nvidia.shares import Offer, capacities

_Known: TypeAlias = dict[str, bool | int | str | Version | None]

SCHEMA: Schema = {
    "type": Attribute(type=str, meaning="gpu, or mig for a partition of one"),
    "uuid": Attribute(
        type=str,
        meaning="as CUDA and nvidia-smi name it, if it exists before a claim",
        optional=True,
    ),
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
    "smEnforcement": Attribute(
        type=str,
        meaning="what holds programs on a shared GPU to their part: mps-…, or none",
        optional=True,
    ),
    "unpartitionableSMs": Attribute(
        type=int, meaning="multiprocessors of a shared GPU nobody can ask for", optional=True
    ),
    "parentUUID": Attribute(type=str, meaning="GPU a MIG device is part of", optional=True),
    "profile": Attribute(type=str, meaning="of a MIG device: 1g.10gb", optional=True),
    PCI_BUS_ID: Attribute(type=str, meaning="address on the PCI bus", optional=True),
    PCIE_ROOT: Attribute(type=str, meaning="PCIe root complex", optional=True),
    NUMA_NODE: Attribute(type=int, meaning="nearest memory of the host", optional=True),
    "memory": Attribute(type=Capacity, meaning="memory", unit="bytes", optional=True),
    "multiprocessors": Attribute(type=Capacity, meaning="streaming multiprocessors", optional=True),
    "sms": Attribute(type=Capacity, meaning="streaming multiprocessors to ask for", optional=True),
    "shares": Attribute(type=Capacity, meaning="equal shares to ask for", optional=True),
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


def inventory(
    snapshot: Snapshot,
    links: Mapping[str, frozenset[int]] | None = None,
    cuts: Mapping[str, Cut] = NO_CUTS,
    offers: Mapping[str, Offer] = NO_OFFERS,
) -> Inventory:
    """All that is published of the node.

    Args:
        snapshot: of now.
        links: NVLinks that worked earlier, by bus ID.
        cuts: how GPUs are cut whose MIG devices are made for claims, by UUID.
        offers: how GPUs are shared that are, by UUID.
    """
    found = parts(snapshot, cuts, offers)
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
                shareable=part.offer is not None,
                consumes=_consumes(part, cuts),
            )
            for name, part in found.items()
        ),
        counter_sets=tuple(_counter_sets(found.values(), cuts)),
    )


def _consumes(part: Part, cuts: Mapping[str, Cut]) -> tuple[Consumption, ...]:
    """What it takes of its GPU; of what exists already, its part is not in the counters."""
    if part.partition is None:
        return ()
    taken = cuts[part.gpu.uuid or ""].consumption(part.partition)
    return (Consumption(_counter_set(part.gpu), _quantities(taken)),)


def _counter_sets(parts: Iterable[Part], cuts: Mapping[str, Cut]) -> Iterator[CounterSet]:
    gpus = {part.gpu.uuid or "": part.gpu for part in parts if part.partition}
    for uuid, gpu in gpus.items():
        yield CounterSet(_counter_set(gpu), _quantities(cuts[uuid].counters()))


def _counter_set(gpu: Gpu) -> str:
    return f"gpu-{gpu.minor}-counter-set"


def _quantities(counters: Mapping[str, int]) -> dict[str, str]:
    return {n: binary(amount) if n == "memory" else str(amount) for n, amount in counters.items()}


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
        _of_mig(part)
        if part.is_mig
        else _of_gpu(part.gpu, groups) | {"linkHealthy": linked} | _of_offer(part.offer)
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


def _of_mig(part: Part) -> _Known:
    """Fewer than a GPU has: MIG devices reach no peers, and a device has 32 attributes and capacities at most.

    What is made for a claim has its UUID then.
    """
    if part.partition:
        own = {"uuid": None, "profile": part.partition.profile.name}
    else:
        own = {"uuid": part.uuid, "profile": part.mig.profile if part.mig else None}
    return {"type": "mig", "parentUUID": part.gpu.uuid, **own}


def _of_offer(offer: Offer | None) -> _Known:
    if offer is None:
        return {}
    left = offer.all_sms - offer.sms if offer.sms else 0
    return {"smEnforcement": offer.enforcement, "unpartitionableSMs": left or None}


def _capacity(part: Part) -> Mapping[str, str | int | Capacity]:
    if part.partition:
        return _of_share(part.partition.profile, part.partition.placement)
    if part.mig:
        return _of_share(part.mig, part.mig.placement)
    memory = part.gpu.memory
    whole = _counts(part.gpu.engines) | ({"memory": binary(memory.total)} if memory else {})
    return capacities(part.offer, whole) if part.offer else whole


def _of_share(share: MigDevice | MigProfile, place: Placement | None) -> dict[str, str | int]:
    known = _counts(share)
    if share.memory is not None:
        known["memory"] = binary(share.memory)
    if place:
        known |= {f"memorySlice{n}": 1 for n in range(place.start, place.start + place.size)}
    return known


def _counts(of: MigDevice | MigProfile | Engines | None) -> dict[str, str | int]:
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
