"""Which devices a node has: whole GPUs, the MIG devices of those that are partitioned, and those that can be made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from pydra_nvidia.gpus import Gpu, MigDevice, Snapshot
from pydra_nvidia.names import Place, gpu_name, mig_name, place_name, static_name
from pydra_nvidia.partitions import Cut, Partition
from pydra_nvidia.shares import Offer

NO_CUTS: Mapping[str, Cut] = MappingProxyType({})
"""No GPU is cut for claims."""
NO_OFFERS: Mapping[str, Offer] = MappingProxyType({})
"""No GPU is shared."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one published device is: a GPU, or a MIG device of it, that exists or is made for the claim.

    Attributes:
        partition: As what it is made; `mig` is None then unless it was.
        fixed: It exists where others are made, and is nobody's to undo.
        offer: How it is shared; None if it goes to one claim.
    """

    gpu: Gpu
    mig: MigDevice | None = None
    partition: Partition | None = None
    fixed: bool = False
    offer: Offer | None = None

    @property
    def is_mig(self) -> bool:
        """Whether it is a MIG device and not a GPU, made or not."""
        return self.mig is not None or self.partition is not None

    @property
    def uuid(self) -> str | None:
        """Of the MIG device if it is one, else of the GPU."""
        return self.mig.uuid if self.mig else self.gpu.uuid


def divided(part: Part, number: int) -> Part:
    """A shared GPU as one of so many equal shares; as it is if that is 0."""
    if part.offer is None or number in (0, part.offer.number):
        return part
    equal = replace(part.offer, number=number, memory=0, sms=0, unit=1)
    return replace(part, offer=equal)


def parts(
    snapshot: Snapshot,
    cuts: Mapping[str, Cut] = NO_CUTS,
    offers: Mapping[str, Offer] = NO_OFFERS,
) -> dict[str, Part]:
    """The devices of the node by name, in the order of minor numbers, MIG devices in that of their places.

    MIG devices that are made for claims are in order of preference, behind those that are there.

    A GPU that does not answer, or that cannot be told from others, is no device: nobody could use it.
    """
    known = (gpu for gpu in snapshot.gpus if gpu.minor is not None and gpu.uuid)
    usable = [gpu for gpu in known if not gpu.lost and not gpu.condition.left_out]
    ordered = sorted(usable, key=_minor)
    found = (part for gpu in ordered for part in _parts(gpu, cuts, offers))
    named = ((_name(part), part) for part in found)
    return {name: part for name, part in named if name}


def _parts(gpu: Gpu, cuts: Mapping[str, Cut], offers: Mapping[str, Offer]) -> Iterator[Part]:
    cut = cuts.get(gpu.uuid or "")
    if not gpu.partitioned:
        yield Part(gpu, offer=offers.get(gpu.uuid or ""))
        return
    there = [mig for mig in sorted(gpu.mig_devices, key=_place) if mig.uuid]
    if cut is None:
        yield from (Part(gpu, mig) for mig in there)
        return
    foreign = {one.id for one in cut.foreign}
    yield from (Part(gpu, mig, fixed=True) for mig in there if mig.gpu_instance in foreign)
    for partition in cut.partitions():
        made = (m for m in there if m.gpu_instance not in foreign and _is_made(m, partition))
        yield Part(gpu, next(made, None), partition)


def _is_made(mig: MigDevice, partition: Partition) -> bool:
    return (mig.profile_id, mig.placement) == (partition.profile.id, partition.placement)


def _name(part: Part) -> str | None:
    if part.partition:
        profile, start = part.partition.profile, part.partition.placement.start
        return place_name(Place(_minor(part.gpu), profile.id, start), profile.name)
    if part.mig is None:
        return gpu_name(part.gpu)
    return (static_name if part.fixed else mig_name)(part.gpu, part.mig)


def _minor(gpu: Gpu) -> int:
    return -1 if gpu.minor is None else gpu.minor


def _place(mig: MigDevice) -> tuple[int, int, int]:
    return mig.placement.start if mig.placement else -1, mig.gpu_instance, mig.compute_instance
