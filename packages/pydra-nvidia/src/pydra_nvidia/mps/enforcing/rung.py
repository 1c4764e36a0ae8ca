"""What a rung does for the tenants of one GPU, and what several rungs do in the same way."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from pydra_core.errors import ClaimError, HostError, VendorError
from pydra_nvidia.mps import texts
from pydra_nvidia.mps.control import Control
from pydra_nvidia.mps.roster import Member, Roster
from pydra_nvidia.mps.values import Attached, Enforcement, MpsGpu, Tenant

_log = logging.getLogger(__name__)
_DEVICE = "0"
"""The daemon's only GPU, as its commands and its clients count."""
_WHOLE = 100.0


class Rung(Protocol):
    """One way to hold tenants. All of it can be done again after a kill between any two steps."""

    name: Enforcement

    def check(self, gpu: MpsGpu, tenant: Tenant) -> None:
        """Say no before anything is touched.

        Raises:
            ClaimError: its limits cannot be had.
        """

    async def admit(self, control: Control, gpu: MpsGpu, tenant: Tenant) -> Member:
        """Make what is the tenant's own, after `check`.

        Raises:
            ClaimError: its limits cannot be had beside the others'.
            VendorError: the daemon does not do it.
        """

    async def hold(self, control: Control, roster: Roster) -> None:
        """Set what holds for all, undo what is nobody's, and make sure of both.

        Raises:
            VendorError: it does not hold.
        """

    async def release(self, control: Control, member: Member) -> None:
        """Undo what is the member's own; what is not there any more is fine.

        Raises:
            DeviceBusyError: programs still use it.
        """

    async def has(self, control: Control, member: Member) -> bool:
        """Whether what is the member's own is still there."""

    def attached(self, control: Control, gpu: MpsGpu, member: Member) -> Attached:
        """What the member's containers need."""


@contextmanager
def kept_going(uuid: str, what: str) -> Iterator[None]:
    """Only say it when the tool fails, as it does on a GPU that is lost: who leaves is not kept for it.

    Args:
        uuid: the GPU's.
        what: what is not done then; the next who comes or leaves has it done.
    """
    try:
        yield
    except HostError as err:
        _log.warning(what, extra={"gpu": uuid, "reason": err.reason, "why": str(err)})


def percent_of(gpu: MpsGpu, tenant: Tenant) -> float | None:
    """The bound in percent, as the daemon is told; None: as much as there is.

    Of two decimals, rounded up: the daemon gives whole pairs of multiprocessors (TPCs), and of a bound a hair below
    a pair's end it gives the pair before.

    Raises:
        ClaimError: there is no such bound.
    """
    if tenant.sms is None:
        bound = tenant.percent
    elif 0 < tenant.sms <= gpu.sms:
        bound = math.ceil(10_000 * tenant.sms / gpu.sms) / 100
    else:
        raise ClaimError(
            f"claim {tenant.name}: device {tenant.device}: {tenant.sms} multiprocessors cannot be had of a GPU that has"
            f" {gpu.sms}; ask for 1 to {gpu.sms}"
        )
    if bound is not None and not 0 < bound <= _WHOLE:
        raise ClaimError(
            f"claim {tenant.name}: device {tenant.device}: {bound:g} percent of the multiprocessors cannot be had; ask"
            " for more than 0 and at most 100"
        )
    return bound


def mib_of(gpu: MpsGpu, tenant: Tenant) -> int | None:
    """The limit of memory in whole MiB, rounded down; None: as much as there is.

    Raises:
        ClaimError: there is no such limit. MPS would take 0 for none at all.
    """
    if tenant.memory is None:
        return None
    if not texts.MIB <= tenant.memory <= gpu.memory:
        raise ClaimError(
            f"claim {tenant.name}: device {tenant.device}: {tenant.memory} bytes of memory cannot be had; ask for 1Mi"
            f" at least, and at most the GPU's {gpu.memory // texts.MIB}Mi"
        )
    return tenant.memory // texts.MIB


def percent_env(bound: float | None) -> dict[str, str]:
    """What tells a tenant's programs their share of the multiprocessors."""
    return {} if bound is None else {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": f"{bound:g}"}


def sms_of(gpu: MpsGpu, bound: float | None) -> int | None:
    """The multiprocessors nearest to a bound; the GPU gives them in units of its own, often two."""
    return None if bound is None else round(bound * gpu.sms / 100)


def memory_held(gpu: MpsGpu, tenant: Tenant) -> int | None:
    """Bytes a tenant's programs may have, as the daemon was told."""
    mib = mib_of(gpu, tenant)
    return None if mib is None else mib * texts.MIB


def reach(control: Control, pipe: Path) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """Environment and mounts with which a container's programs find the daemon, at the same path as everybody."""
    shm = str(control.tool.shm(control.folder))
    mounts = ((str(pipe), str(pipe)), (shm, "/dev/shm"))  # noqa: S108 (shared on purpose)
    return {"CUDA_MPS_PIPE_DIRECTORY": str(pipe)}, mounts


def memory_env(gpu: MpsGpu, tenant: Tenant) -> dict[str, str]:
    """What tells a tenant's programs their limit of memory."""
    mib = mib_of(gpu, tenant)
    if mib is None:
        return {}
    return {"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": f"{_DEVICE}={texts.limit_text(mib)}"}


async def hold_percent(control: Control, roster: Roster) -> None:
    """Let no program have more than the largest share of the roster, with or without its environment.

    What holds by default is for the next server; those that run are told one by one.

    Raises:
        VendorError: another value is read than was set.
    """
    bounds = [percent_of(roster.gpu, t) for t in roster.tenants]
    wanted = max((_WHOLE if b is None else b for b in bounds), default=_WHOLE)
    await _set_percent(control, "default_active_thread_percentage", wanted)
    await _each_server(
        control, lambda server: _set_percent(control, f"active_thread_percentage {server}", wanted)
    )


async def hold_memory(control: Control, roster: Roster) -> None:
    """Let no program have more memory than the largest limit of the roster. Raises as `hold_percent`."""
    limits = [mib_of(roster.gpu, t) for t in roster.tenants]
    whole = roster.gpu.memory // texts.MIB
    wanted = max((whole if m is None else m for m in limits), default=whole)
    everybody = all(m is None for m in limits)
    await _set_memory(control, "default_device_pinned_mem_limit", wanted, only_lift=everybody)
    await _each_server(
        control,
        lambda server: _set_memory(
            control, f"device_pinned_mem_limit {server}", wanted, only_lift=everybody
        ),
    )


async def _each_server(control: Control, do: Callable[[int], Awaitable[None]]) -> None:
    """Do it to every server that runs; one that ends meanwhile has no clients to hold."""
    for server in await control.servers():
        try:
            await do(server)
        except VendorError:
            if server in await control.servers():
                raise


async def _set_percent(control: Control, what: str, wanted: float) -> None:
    text = f"{wanted:g}"
    said = await control.ask(f"set_{what} {text}", f"get_{what}")
    if not texts.is_near(texts.percent(said), wanted):
        raise _not_held(control, what, text, said)


async def _set_memory(control: Control, what: str, mib: int, *, only_lift: bool) -> None:
    """Set a limit; one that nobody needs is left unset, unless an earlier one has to be lifted."""
    if only_lift and not await control.ask(f"get_{what} {_DEVICE}"):
        return
    text = texts.limit_text(mib)
    said = await control.ask(f"set_{what} {_DEVICE} {text}", f"get_{what} {_DEVICE}")
    if not texts.is_limit(said, mib):
        raise _not_held(control, what, text, said)


def _not_held(control: Control, what: str, text: str, said: list[str]) -> VendorError:
    told = " ".join(" ".join(said).split()) or "nothing"
    return VendorError(
        f"GPU {control.folder.uuid}: its MPS daemon was set {what} to {text}, and answers {told!r} when asked for it;"
        f" see {control.folder.log}/control.log"
    )
