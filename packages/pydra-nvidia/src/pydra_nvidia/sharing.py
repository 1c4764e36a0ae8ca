"""Whether a claim's parameters can be had for the device they came to, and what they ask to be changed.

Called in `prepare` before anything is touched: a no costs nothing.
"""

from __future__ import annotations

from pydra_core import Allocation, Claim, ClaimConfigError
from pydra_nvidia.parameters import (
    GpuConfig,
    Interval,
    MigDeviceConfig,
    Parameters,
    VfioDeviceConfig,
)
from pydra_nvidia.parts import Part


def time_slice(claim: Claim, allocation: Allocation, part: Part) -> Interval | None:
    """How long the time slices of the GPU shall be for this claim; None leaves the GPU as it is.

    Raises:
        ClaimConfigError: the parameters are not for this device, or ask for what this driver does not do.
    """
    config: Parameters | None = allocation.config
    if config is None:
        return None
    if allocation.admin_access:
        raise _refused(
            claim,
            allocation,
            "",
            "admin access changes nothing of a device others use; leave the config out",
        )
    if isinstance(config, VfioDeviceConfig):
        raise _refused(
            claim,
            allocation,
            "kind",
            "this driver hands no GPUs to virtual machines; use one that does",
        )
    if isinstance(config, MigDeviceConfig) != part.is_mig:
        kind = "MigDeviceConfig" if part.is_mig else "GpuConfig"
        raise _refused(
            claim,
            allocation,
            "kind",
            f"it is a {'MIG device' if part.is_mig else 'whole GPU'}; take {kind}",
        )
    if config.sharing is None:
        return None
    if config.sharing.strategy == "MPS":
        raise _refused(
            claim,
            allocation,
            "sharing.strategy",
            "no MPS daemons are run by this version of the driver; take TimeSlicing",
        )
    if isinstance(config, GpuConfig) and config.sharing.time_slicing_config:
        return config.sharing.time_slicing_config.interval
    return None


def asks_time_slices(claim: Claim) -> bool:
    """Whether the claim's parameters could change a GPU, before anything is known of its devices."""
    return any(
        isinstance(a.config, GpuConfig)
        and not a.admin_access
        and a.config.sharing is not None
        and a.config.sharing.time_slicing_config is not None
        for a in claim.allocations
    )


def _refused(claim: Claim, allocation: Allocation, path: str, why: str) -> ClaimConfigError:
    where = f": {path}" if path else ""
    return ClaimConfigError(
        f"claim {claim.ref}: device {allocation.device}{where}: {why}", path=path
    )
