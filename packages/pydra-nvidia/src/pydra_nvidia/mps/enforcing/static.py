"""Partitions of multiprocessors that are a tenant's alone, in whole chunks (driver 590 and later, Ampere and later).

A client without a partition gets no context at all, and percentages are ignored: everybody on the GPU has one.
Which partition it is, is the client's word: tenants are kept apart from each other, not from who means harm.
"""

from __future__ import annotations

from pydra_core.errors import ClaimError, DeviceBusyError, VendorError
from pydra_nvidia.mps import texts
from pydra_nvidia.mps.control import Control
from pydra_nvidia.mps.enforcing.rung import hold_memory, memory_env, memory_held, mib_of, reach
from pydra_nvidia.mps.roster import Member, Roster
from pydra_nvidia.mps.texts import Partition, Partitions
from pydra_nvidia.mps.values import Attached, Enforcement, MpsGpu, Tenant


class Static:
    """The rung `mps-static`, for a GPU whose chunks have `unit` multiprocessors each."""

    name: Enforcement = "mps-static"

    def __init__(self, unit: int) -> None:
        self._unit = unit

    def check(self, gpu: MpsGpu, tenant: Tenant) -> None:
        """Raises `ClaimError`."""
        self._chunks(tenant)
        mib_of(gpu, tenant)

    async def admit(self, control: Control, gpu: MpsGpu, tenant: Tenant) -> Member:
        """Add a partition. Raises `ClaimError` and `VendorError`."""
        del gpu
        made = await add(control, self._chunks(tenant), tenant.name)
        return Member(tenant, made.name, made.sms)

    async def hold(self, control: Control, roster: Roster) -> None:
        """Remove what nobody in the roster has, and limit memory. Raises `VendorError`."""
        there = await partitions(control)
        for partition in there.all:
            if partition.name not in {m.made for m in roster.members}:
                await remove(control, partition.name)
        await hold_memory(control, roster)

    async def release(self, control: Control, member: Member) -> None:
        """Remove its partition. Raises `DeviceBusyError` and `VendorError`."""
        try:
            await remove(control, member.made)
        except DeviceBusyError as err:
            raise DeviceBusyError(
                f"claim {member.tenant.name}: programs of it still run: {err}"
            ) from None

    async def has(self, control: Control, member: Member) -> bool:
        """Whether its partition is there. Raises `VendorError`."""
        return (await partitions(control)).named(member.made) is not None

    def attached(self, control: Control, gpu: MpsGpu, member: Member) -> Attached:
        """What the member's containers need."""
        env, mounts = reach(control, control.folder.pipe)
        env |= memory_env(gpu, member.tenant)
        env["CUDA_MPS_SM_PARTITION"] = f"{gpu.uuid}/{member.made}"
        return Attached(env, mounts, self.name, member.sms, None, memory_held(gpu, member.tenant))

    def _chunks(self, tenant: Tenant) -> int:
        if tenant.sms is None:
            raise ClaimError(
                f"claim {tenant.name}: device {tenant.device}: the GPU is divided into partitions of multiprocessors"
                " now, and whoever asks for none gets none; ask for multiprocessors, or for another GPU"
            )
        if tenant.sms < self._unit or tenant.sms % self._unit:
            raise ClaimError(
                f"claim {tenant.name}: device {tenant.device}: {tenant.sms} multiprocessors cannot be had; ask for a"
                f" multiple of {self._unit}"
            )
        return tenant.sms // self._unit


async def add(control: Control, chunks: int, whose: str) -> Partition:
    """Add a partition, as `lspart` then shows it: the last one of a GPU also gets what is left over.

    Raises:
        ClaimError: the GPU has not as many chunks left.
        VendorError: there is none afterwards; the tool's own words are in the text.
    """
    uuid = control.folder.uuid
    before = await partitions(control)
    left = before.chunks - sum(p.chunks for p in before.all)
    if before.chunks and chunks > left:
        raise ClaimError(
            f"claim {whose}: GPU {uuid}: {chunks} chunks of multiprocessors cannot be had: {left} of {before.chunks}"
            " are left; ask for less, or wait for others to end"
        )
    said = await control.ask(f"sm_partition add {uuid} {chunks}")
    made = (await partitions(control)).named(texts.partition_name(said))
    if made is None:
        raise VendorError(
            f"GPU {uuid}: a partition of {chunks} chunks was added, and there is none: {_told(said)}"
        )
    return made


async def remove(control: Control, name: str) -> None:
    """Remove a partition; one that is not there is fine.

    Raises:
        DeviceBusyError: it is still there, as it is while clients are connected; the tool's own words are in the text.
    """
    uuid = control.folder.uuid
    if (await partitions(control)).named(name) is None:
        return
    said = await control.ask(f"sm_partition rm {uuid} {name}")
    if (await partitions(control)).named(name) is not None:
        raise DeviceBusyError(
            f"GPU {uuid}: partition {name} was removed, and is still there: {_told(said)}; try again when the programs"
            " in it have ended"
        )


async def partitions(control: Control) -> Partitions:
    """All partitions there are. Raises `VendorError`."""
    return texts.partitions(await control.ask("lspart"))


def _told(said: list[str]) -> str:
    return " ".join(" ".join(said).split()) or "nothing is said"
