"""An upper bound in percent: every release has it. Tenants may still use the same multiprocessors.

A tenant's environment tightens what the daemon allows; without it, a program gets the largest share of the roster.
"""

from __future__ import annotations

from pydra_nvidia.mps.control import Control
from pydra_nvidia.mps.enforcing.rung import (
    hold_memory,
    hold_percent,
    memory_env,
    memory_held,
    mib_of,
    percent_env,
    percent_of,
    reach,
    sms_of,
)
from pydra_nvidia.mps.roster import Member, Roster
from pydra_nvidia.mps.values import Attached, Enforcement, MpsGpu, Tenant


class Percent:
    """The rung `mps-percent`."""

    name: Enforcement = "mps-percent"

    def check(self, gpu: MpsGpu, tenant: Tenant) -> None:
        """Raises `ClaimError`."""
        percent_of(gpu, tenant)
        mib_of(gpu, tenant)

    async def admit(self, control: Control, gpu: MpsGpu, tenant: Tenant) -> Member:
        """Nothing is its own here."""
        del control, gpu
        return Member(tenant)

    async def hold(self, control: Control, roster: Roster) -> None:
        """Set both ceilings. Raises `VendorError`."""
        await hold_percent(control, roster)
        await hold_memory(control, roster)

    async def release(self, control: Control, member: Member) -> None:
        """Nothing was made."""
        del control, member

    async def has(self, control: Control, member: Member) -> bool:
        """It has nothing that could be gone."""
        del control, member
        return True

    def attached(self, control: Control, gpu: MpsGpu, member: Member) -> Attached:
        """What the member's containers need."""
        tenant = member.tenant
        bound = percent_of(gpu, tenant)
        env, mounts = reach(control, control.folder.pipe)
        env |= percent_env(bound) | memory_env(gpu, tenant)
        held = memory_held(gpu, tenant)
        return Attached(env, mounts, self.name, sms_of(gpu, bound), bound, held)
