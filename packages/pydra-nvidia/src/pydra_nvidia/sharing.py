"""How the programs of a claim use its device beside others: alone, in turns, or by MPS with limits.

Decided in `prepare` before anything is touched: a no costs nothing. Multiprocessors are never promised to what cannot
be held to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from pydra_core import Allocation, Claim, ClaimConfigError
from pydra_core.errors import DeviceError
from pydra_core.quantity import parse
from pydra_nvidia.parameters import (
    GpuConfig,
    Interval,
    MigDeviceConfig,
    MpsConfig,
    Parameters,
    VfioDeviceConfig,
)
from pydra_nvidia.parts import Part
from pydra_nvidia.shares import MIB, Offer, Taken, taken

_COMING = 20.0
_NO_MPS = (
    "no MPS daemons are run on this node; ask its operator for NVIDIA_MPS=on (the chart's mps.enabled), or take"
    " TimeSlicing"
)
_ONE = "a CUDA program talks to the MPS daemon of one GPU; ask for one device, or make a claim for each container"


@dataclass(frozen=True, slots=True)
class Turns:
    """Programs take turns: for as long as `interval` says, or as the GPU is set."""

    interval: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Programs run at the same time, by MPS: `sms` multiprocessors or `percent` of them, `memory` bytes."""

    sms: int | None = None
    percent: float | None = None
    memory: int | None = None


Use: TypeAlias = Turns | Limits | None
"""None: the claim has the device for itself, and its programs do as they please."""


def use(claim: Claim, allocation: Allocation, part: Part, *, mps: bool) -> Use:
    """How a claim uses one of its devices.

    Args:
        claim: whose.
        allocation: of the device.
        part: what the device is.
        mps: whether daemons can be had here.

    Raises:
        ClaimConfigError: the parameters are not for this device, or ask for what cannot be had.
    """
    config: Parameters | None = allocation.config
    if allocation.admin_access:
        if config is not None:
            _refuse(
                claim,
                allocation,
                "",
                "admin access changes nothing of a device others use; leave the config out",
            )
        return None
    share = share_of(claim, allocation, part, coming=mps)
    strategy = _strategy(claim, allocation, part)
    if strategy == "MPS" or (not strategy and not share.is_whole and _by_mps(part, mps=mps)):
        return _limits(claim, allocation, part, share, mps=mps)
    if share.sms is not None:
        _refuse(
            claim, allocation, "sharing.strategy" if strategy else "",
            f"{share.sms} multiprocessors are held to by MPS only; leave the config out, take strategy MPS, or ask for"
            " no sms",
        )  # fmt: skip
    if isinstance(config, GpuConfig) and config.sharing and config.sharing.time_slicing_config:
        return Turns(config.sharing.time_slicing_config.interval)
    return None if share.is_whole else Turns()


class NotNowError(DeviceError):
    """What was given to a claim cannot be given now; when MPS is on, its keeper may only have to start."""

    @property
    def patience(self) -> float:
        """Seconds; the kubelet itself would come back only after 60 to 90."""
        return _COMING if self.fields["coming"] else 0.0


def share_of(claim: Claim, allocation: Allocation, part: Part, *, coming: bool = False) -> Taken:
    """What the claim took of a device.

    Raises:
        NotNowError: it took of what is not there to be given; `coming` says that it may be soon.
    """
    try:
        return taken(allocation, part.offer)
    except ValueError as err:
        raise NotNowError(
            f"claim {claim.ref}: device {allocation.device}: its {err} cannot be given now: NVIDIA_SHARES was changed, or"
            " the MPS keeper of the node is not there (see this driver's log); start the keeper, or delete the pod",
            device=allocation.device,
            coming=coming,
        ) from None


def asks(claim: Claim) -> bool:
    """Whether a claim could change a GPU by how it uses it, before anything is known of its devices."""
    return any(not a.admin_access and (a.share_id or _changes(a.config)) for a in claim.allocations)


def _changes(config: Parameters | None) -> bool:
    if isinstance(config, MigDeviceConfig):
        return config.sharing is not None and config.sharing.strategy == "MPS"
    if not isinstance(config, GpuConfig) or config.sharing is None:
        return False
    return config.sharing.strategy == "MPS" or config.sharing.time_slicing_config is not None


def _strategy(claim: Claim, allocation: Allocation, part: Part) -> str:
    """The strategy of the parameters; empty if they leave it open."""
    config: Parameters | None = allocation.config
    if config is None:
        return ""
    if isinstance(config, VfioDeviceConfig):
        why = "this driver hands no GPUs to virtual machines; use one that does"
        _refuse(claim, allocation, "kind", why)
    if isinstance(config, MigDeviceConfig) != part.is_mig:
        kind = "MigDeviceConfig" if part.is_mig else "GpuConfig"
        what = "MIG device" if part.is_mig else "whole GPU"
        _refuse(claim, allocation, "kind", f"it is a {what}; take {kind}")
    return config.sharing.strategy if config.sharing else ""


def _by_mps(part: Part, *, mps: bool) -> bool:
    """Whether a share is held to its part if nothing else is said."""
    return mps and part.offer is not None and part.offer.enforced


def _limits(claim: Claim, allocation: Allocation, part: Part, share: Taken, *, mps: bool) -> Limits:
    if not mps:
        _refuse(claim, allocation, "sharing.strategy", _NO_MPS)
    if sum(not a.admin_access for a in claim.allocations) > 1:
        _refuse(claim, allocation, "sharing.strategy", _ONE)
    sharing = allocation.config.sharing if allocation.config else None
    said = (sharing.mps_config if sharing else None) or MpsConfig()
    percent: list[float] = [said.default_active_thread_percentage or 100]
    memory = [limit for limit in (_said_memory(said, part), share.memory) if limit is not None]
    if share.shares is not None and part.offer:
        percent.append(int(10_000 * share.shares / part.offer.number) / 100)
        memory.append(part.offer.all_memory * share.shares // part.offer.number // MIB * MIB)
    least, sms = min(percent), share.sms
    if sms is not None and part.offer:
        sms = min(sms, _whole_units(part.offer, least))
    return Limits(
        sms=sms,
        percent=least if least < 100 and sms is None else None,  # noqa: PLR2004 (per cent)
        memory=min(memory, default=None),
    )


def _whole_units(offer: Offer, percent: float) -> int:
    """The multiprocessors of a percentage, in what is given together, which is the least there is."""
    return max(offer.unit, int(offer.all_sms * percent / 100) // offer.unit * offer.unit)


def _said_memory(said: MpsConfig, part: Part) -> int | None:
    """The parameters' limit for this device: by UUID, by its number in the claim, which is 0, or for all."""
    each = said.default_per_device_pinned_memory_limit
    text = each.get(part.uuid or "", each.get("0", said.default_pinned_device_memory_limit))
    return parse(text).value() // MIB * MIB if text else None


def _refuse(claim: Claim, allocation: Allocation, path: str, why: str) -> NoReturn:
    where = f": {path}" if path else ""
    raise ClaimConfigError(
        f"claim {claim.ref}: device {allocation.device}{where}: {why}", path=path
    )
