"""Which rung a tenant is put on: the best for whoever asks for multiprocessors, else one that divides nothing."""

from __future__ import annotations

from pydra_core.errors import ClaimError, HostError
from pydra_nvidia.mps.enforcing.namespaces import Namespaces
from pydra_nvidia.mps.enforcing.percent import Percent
from pydra_nvidia.mps.enforcing.rung import Rung
from pydra_nvidia.mps.enforcing.static import Static
from pydra_nvidia.mps.probing import Rungs, is_too_old
from pydra_nvidia.mps.values import Enforcement, MpsGpu, Tenant


def rung_for(gpu: MpsGpu, tenant: Tenant, rungs: Rungs) -> Rung:
    """For the first tenant of a GPU.

    Raises:
        ClaimError: no tenant can be held on a GPU of this kind.
        HostError: one could be, but MPS does not work on this node.
    """
    if rungs.best.enforcement == "none" and not is_too_old(gpu):
        raise HostError(
            f"GPU {gpu.uuid}: MPS does not work on this node: {rungs.best.why}; see the keeper's log"
        )
    if rungs.best.enforcement == "none":
        raise ClaimError(
            f"claim {tenant.name}: device {tenant.device}: MPS can hold no program to limits on GPU {gpu.uuid}:"
            f" {rungs.best.why}; ask for a whole GPU, or for one that can"
        )
    divides = rungs.best.enforcement == "mps-static"
    if divides and tenant.sms is None and "mps-percent" in rungs.flags:
        return Percent()
    return rung_of(rungs.best.enforcement, rungs)


def rung_of(name: Enforcement, rungs: Rungs) -> Rung:
    """The rung of a GPU that has tenants.

    Raises:
        HostError: this keeper does not know it.
    """
    if name == "mps-percent":
        return Percent()
    if name == "mps-v3-namespace":
        return Namespaces()
    if name == "mps-static":
        return Static(rungs.best.unit)
    raise HostError(
        f"MPS keeper: {name} is no rung this version knows; bring it to the driver's release"
    )
