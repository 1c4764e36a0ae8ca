"""Who is on a GPU, with which limits: the one thing that must survive the keeper, and the driver."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pydra_nvidia.mps import files
from pydra_nvidia.mps.values import Enforcement, MpsGpu, Tenant

FORMAT = 1
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant and what was made for it.

    Attributes:
        tenant: As it was asked for.
        made: Name of the partition or namespace that is its own; empty on a rung that makes none.
        sms: Multiprocessors of that, as the tool told.
    """

    tenant: Tenant
    made: str = ""
    sms: int | None = None


class Roster(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The members of one GPU, in the order they came.

    Attributes:
        gpu: Which.
        enforcement: The rung the GPU is on while there are members.
        members: Whom it has.
        compute_mode: What the first of them noted.
        last: UID of the claim that was the last to leave.
        boot: ID of the node's boot when it was written: nobody has been there since another one.
        format: Of the file.
    """

    gpu: MpsGpu
    enforcement: Enforcement
    members: tuple[Member, ...] = ()
    compute_mode: str = ""
    last: str = ""
    boot: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format {self.format}, not {FORMAT}")
        keys = [m.tenant.key for m in self.members]
        if len(set(keys)) != len(keys):
            raise ValueError("a tenant is there twice")

    @property
    def tenants(self) -> tuple[Tenant, ...]:
        """Its members, as they were asked for."""
        return tuple(m.tenant for m in self.members)

    def of(self, tenant: Tenant) -> Member | None:
        """The member that this tenant is, whatever its limits are."""
        return next((m for m in self.members if m.tenant.key == tenant.key), None)

    def of_claim(self, claim: str) -> tuple[Member, ...]:
        """All members of a claim."""
        return tuple(m for m in self.members if m.tenant.claim == claim)

    def joined(self, member: Member) -> Roster:
        """With one more; the first one's compute mode is kept for all of them."""
        mode = self.compute_mode if self.members else member.tenant.compute_mode
        return msgspec.structs.replace(
            self, members=(*self.members, member), compute_mode=mode, last=""
        )

    def without(self, gone: Sequence[Member]) -> Roster:
        """Without some; if nobody is left, with the claim that was the last."""
        left = tuple(m for m in self.members if m not in gone)
        last = gone[-1].tenant.claim if gone and not left else self.last
        return msgspec.structs.replace(self, members=left, last=last)


def read(path: Path) -> Roster | None:
    """The roster in a file; None if there is none, or none of this boot: a folder may outlive it.

    Raises:
        UnreadableError: it is not one, and was set aside.
        HostError: it cannot be read at all.
    """
    found = files.read(path, Roster)
    return found if found and found.boot == _boot() else None


def write(path: Path, roster: Roster) -> None:
    """Keep it.

    Raises:
        HostError: the folder takes no file.
    """
    files.write(path, msgspec.structs.replace(roster, boot=_boot()))


def _boot() -> str:
    """The ID of this boot, where the driver reads it too; empty where nobody tells."""
    try:
        return Path(os.environ.get("BOOT_ID_FILE") or _BOOT_ID).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
