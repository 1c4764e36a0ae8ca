"""What the driver and the keeper of MPS daemons tell each other: frozen, decoded strictly on both sides."""

from __future__ import annotations

from typing import Literal

import msgspec

Enforcement = Literal["mps-v3-namespace", "mps-static", "mps-percent", "none"]
"""What holds a tenant to its multiprocessors, best first: a rung of the ladder that a GPU is on."""


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A misspelt field would silently give a tenant what nobody asked for."""


class MpsGpu(_Value, frozen=True):
    """A GPU as far as MPS is concerned.

    Attributes:
        uuid: `GPU-…`.
        sms: Streaming multiprocessors of the whole GPU.
        memory: Bytes that programs can have.
        compute_capability: `9.0`.
    """

    uuid: str
    sms: int
    memory: int
    compute_capability: str


class Tenant(_Value, frozen=True):
    """Who is on a GPU, and what it is held to; None is as much as there is.

    Attributes:
        claim: Its UID.
        name: `namespace/name` of the claim, for people.
        device: Name of the device in its pool.
        share_id: Which share of the device; empty for a device that is not shared between claims.
        sms: Streaming multiprocessors.
        percent: Share of the multiprocessors, above 0 and up to 100; beside `sms` it has no meaning.
        memory: Bytes of device memory each of its programs may have.
        compute_mode: The GPU's before it was changed for this tenant; kept for whoever changes it back.
    """

    claim: str
    name: str
    device: str
    share_id: str = ""
    sms: int | None = None
    percent: float | None = None
    memory: int | None = None
    compute_mode: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it one tenant, whatever its limits are."""
        return self.claim, self.device, self.share_id

    @property
    def limits(self) -> tuple[int | None, float | None, int | None]:
        """What it is held to."""
        return self.sms, self.percent, self.memory


class Attached(_Value, frozen=True):
    """What a tenant's containers need, and the limits as they were read back, not as they were asked for.

    Attributes:
        env: Of the containers.
        mounts: Path on the host and in the container.
        enforcement: The rung that holds `sms`.
        sms: Streaming multiprocessors; None if they are not limited.
        percent: Upper bound in percent of the GPU's; None if it is not how they are limited.
        memory: Bytes of device memory for each program; None without a limit.
    """

    env: dict[str, str]
    mounts: tuple[tuple[str, str], ...]
    enforcement: Enforcement
    sms: int | None = None
    percent: float | None = None
    memory: int | None = None


class Detached(_Value, frozen=True):
    """What became of a GPU that a claim has left.

    Attributes:
        empty: Nobody is on the GPU any more and its daemon has ended.
        compute_mode: What the first tenant noted, for the claim that was the last to leave; else empty.
    """

    empty: bool
    compute_mode: str = ""


class DaemonState(_Value, frozen=True):
    """The daemon of one GPU.

    Attributes:
        gpu: UUID.
        alive: Whether it runs.
        why: What is wrong with it; empty if nothing is.
        pid: As the keeper sees it; None if it does not run.
        enforcement: The rung its tenants are on.
        clients: Programs that are connected; None if that cannot be told now.
        tenants: In the order they came.
    """

    gpu: str
    alive: bool
    why: str
    pid: int | None
    enforcement: Enforcement
    clients: int | None
    tenants: tuple[Tenant, ...]


class Capabilities(_Value, frozen=True):
    """What limits can be had on a GPU, found by doing.

    Attributes:
        enforcement: The best rung this GPU, driver and tool are good for.
        unit: Multiprocessors are given in multiples of this; 0 if none can be limited.
        most: Multiprocessors that can be given in all.
        why: What keeps it from the rungs above, or from any.
    """

    enforcement: Enforcement
    unit: int
    most: int
    why: str
