"""What MPS needs on a node and what `NVIDIA_SHARES` promises there, held against what the keeper says: for `doctor`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydra_core import PydraError
from pydra_core.needs import Need
from pydra_nvidia.gpus import Gpu
from pydra_nvidia.mps.client import Keeper
from pydra_nvidia.mps.protocol import SOCKET
from pydra_nvidia.mps.values import Capabilities, DaemonState
from pydra_nvidia.settings import NvidiaSettings
from pydra_nvidia.shares import NONE

KEEPER = "MPS keeper"
_PATIENCE = 5.0
_UNTOLD = "nothing is known of its multiprocessors or memory"
_REMEDY = (
    "mend what is said, which is tried again at the next discovery; or leave the GPU out (NVIDIA_SHARED_GPUS), or let"
    " claims take turns (NVIDIA_MPS=off, and NVIDIA_SHARES without sms)"
)
_LOG = "see the log of the keeper's pod (label app.kubernetes.io/component=mps-keeper)"


async def keeper_needs(folder: Path, patience: float = _PATIENCE) -> list[Need]:
    """How the keeper is, and each of its daemons; whoever has a fix for `KEEPER` need not be asked more."""
    try:
        states = await Keeper(folder, patience).daemons()
    except PydraError as err:
        seen, _, fix = str(err).partition("; ")
        return [Need(KEEPER, seen.removeprefix(f"{KEEPER} "), fix or _LOG)]
    answers = f"answers at {folder / SOCKET}, daemons of {len(states)} GPUs"
    return [Need(KEEPER, answers), *map(_of_daemon, states)]


def held_needs(
    gpus: Iterable[Gpu], settings: NvidiaSettings, told: Mapping[str, Capabilities | str]
) -> Iterator[Need]:
    """What holds claims to their part of each GPU that is to be shared.

    Args:
        gpus: those of the node.
        settings: the driver's.
        told: what MPS can do, by UUID; or why the keeper cannot tell.
    """
    for gpu in gpus:
        if gpu.uuid and not gpu.partitioned and settings.is_shared(gpu.minor, gpu.uuid):
            yield _held(gpu.uuid, settings, told.get(gpu.uuid, _UNTOLD))


def _of_daemon(state: DaemonState) -> Need:
    name, who = f"MPS of {state.gpu}", ", ".join(sorted({t.name for t in state.tenants}))
    if state.tenants and not state.alive:
        return Need(
            name,
            f"its daemon died under {who}: {state.why}",
            f"delete the pods of {who}: their programs have ended, and the daemon starts again with the next claim",
        )
    if state.why:
        return Need(name, state.why, f"end the pods of {who or 'those who use it'}; {_LOG}")
    return Need(name, f"{state.enforcement}, {state.clients} programs of {who or 'nobody'}")


def _held(uuid: str, settings: NvidiaSettings, told: Capabilities | str) -> Need:
    name = f"shares of {uuid}"
    if isinstance(told, Capabilities) and told.enforcement != NONE:
        how = f"held by {told.enforcement}: {told.most} SMs in steps of {told.unit}"
        return Need(name, f"{how}; {told.why}" if told.why else how)
    if settings.shares.sms:
        lost = "NVIDIA_SHARES lets claims ask for sms, and nothing holds them there, so that claims for sms wait"
    else:
        lost = "NVIDIA_MPS is on, and nothing holds shares there, so that programs take turns"
    return Need(name, f"{lost}: {told if isinstance(told, str) else told.why}", _REMEDY)
