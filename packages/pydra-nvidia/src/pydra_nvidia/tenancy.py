"""The claims whose programs run under MPS: brought to the node's keeper, taken from it again, and looked after.

The keeper knows who is on which GPU, the journal knows which claims there are; what only the keeper knows was left by
a process that was killed, and is taken off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydra_cdi import ContainerEdits, Mount
from pydra_core import Allocation, Claim, PydraError
from pydra_core.errors import DeviceError
from pydra_core.metrics import Sample
from pydra_nvidia.counters import mps_samples
from pydra_nvidia.gpus import Gpu
from pydra_nvidia.judging import Verdict
from pydra_nvidia.mps.client import Keeper
from pydra_nvidia.mps.values import Attached, Capabilities, DaemonState, MpsGpu, Tenant
from pydra_nvidia.parts import Part
from pydra_nvidia.sharing import Limits
from pydra_nvidia.turns import MODE, Keep, compute_mode, set_mode

if TYPE_CHECKING:
    from pydra_core.driver import Driver

_log = logging.getLogger(__name__)
_ONE = "exclusive_process"
"""The compute mode in which nobody but MPS gets a GPU: a program that does not find its daemon fails, as it must."""
_LOOK = 30.0
"""Seconds a look may take: meanwhile nothing is told of how GPUs are, and a discovery waits with all devices."""
_AGAIN = 2.0
"""Seconds between two tries to reach a keeper that is away."""
_OPTIONS = ("rw", "nosuid", "nodev", "rbind", "rprivate")


class Tenancy:
    """MPS on one node.

    Args:
        driver: whose SDK is called, and whose journal is asked.
        folder: the keeper's.
        patience: seconds a look may take.
    """

    def __init__(self, driver: Driver, folder: Path, patience: float = _LOOK) -> None:
        self._driver = driver
        self._keeper = Keeper(folder)
        self._looking = Keeper(folder, patience)
        self._able: dict[str, Capabilities] = {}
        self._daemons: Mapping[str, DaemonState] = {}
        self._said = ""
        self._served: set[str] = set()
        self._again: set[tuple[str, str]] = set()
        self._unknown: dict[str, str] = {}

    async def able(self, gpus: Iterable[Gpu]) -> Mapping[str, Capabilities]:
        """What MPS can do on each GPU, by UUID; of a keeper that does not answer, what it said before."""
        known = [one for gpu in gpus if not gpu.partitioned and (one := _gpu(gpu))]
        await asyncio.gather(*map(self._ask, known))
        return self._able

    @property
    def told(self) -> Mapping[str, Capabilities | str]:
        """The same by what was asked last; of a GPU the keeper cannot tell it of, why."""
        return {**self._able, **self._unknown}

    async def enter(
        self,
        root: Path,
        claim: Claim,
        allocation: Allocation,
        part: Part,
        limits: Limits,
        keep: Keep,
    ) -> tuple[ContainerEdits, dict[str, str]]:
        """Bring a claim to the daemon of its GPU.

        Returns:
            What its containers get, and what `end_turns` needs where there is no keeper any more.

        Raises:
            PydraError: the keeper, NVML or the tool refused; `leave` undoes what was begun.
        """
        gpu = _of(part)
        before = "" if part.is_mig else await compute_mode(self._driver, root, gpu.uuid)
        tenant = Tenant(
            claim=claim.uid,
            name=str(claim.ref),
            device=allocation.device,
            share_id=allocation.share_id,
            sms=limits.sms,
            percent=limits.percent,
            memory=limits.memory,
            compute_mode="" if before == _ONE else before,
        )
        attached = await self._keeper.attach(
            gpu, tenant
        )  # from here on the mode is known to be changed
        kept = {MODE: tenant.compute_mode} if tenant.compute_mode else {}
        await keep(kept)
        if not part.is_mig:
            await set_mode(self._driver, root, gpu.uuid, _ONE)
        self._served.add(gpu.uuid)
        _log.info("claim runs under MPS", extra=_told(claim, gpu.uuid, attached))
        edits = ContainerEdits(
            env=[f"{name}={value}" for name, value in attached.env.items()],
            mounts=[Mount(host, inside, _OPTIONS) for host, inside in attached.mounts],
        )
        return edits, kept

    async def leave(self, root: Path, uuid: str, claim: str, *, last: bool) -> None:
        """Take a claim off a GPU, and give the GPU back as it was if nobody is left.

        A keeper that does not answer holds no pod back: what it still knows of the claim is taken off once it does.

        Args:
            root: the driver root.
            uuid: the GPU's.
            claim: UID.
            last: whether the journal has no other claim there.

        Raises:
            PydraError: programs of the claim still run, or NVML refused.
        """
        try:
            left = await self._keeper.detach(uuid, claim)
        except PydraError as err:
            if await self._answers():
                raise
            self._trouble(str(err))
            if last:
                self._served.discard(uuid)
            return
        if left.empty and left.compute_mode:
            await set_mode(self._driver, root, uuid, left.compute_mode)
        if left.empty:
            self._served.discard(uuid)

    async def look(self) -> list[tuple[str, str]]:
        """See how daemons are; who is on which GPU by the keeper's word: UUID and the claim's UID."""
        try:
            found = await self._looking.daemons()
        except PydraError as err:
            self._trouble(str(err))
            return []
        if self._said:
            self._said = ""
            _log.info("MPS keeper answers")
            self._driver.rediscover()
        self._daemons = {state.gpu: state for state in found}
        self._served |= {state.gpu for state in found if state.tenants}
        return sorted({(s.gpu, t.claim) for s in found for t in s.tenants} | self._again)

    async def evict(self, root: Path, uuid: str, claim: str) -> None:
        """Take a claim off that is in no journal; what fails is tried again with the next look. Never raises."""
        extra = {"gpu": uuid, "uid": claim}
        try:
            await self.leave(root, uuid, claim, last=False)
        except PydraError as err:
            self._again.add((uuid, claim))
            extra |= {"reason": err.reason, "why": str(err)}
            _log.warning("a claim that is gone cannot be taken off its GPU yet", extra=extra)
        else:
            self._again.discard((uuid, claim))
            _log.info("a claim that is gone was taken off its GPU", extra=extra)

    async def listen(self, wake: Callable[[], None]) -> None:
        """Wake whoever looks when a daemon dies, and when the keeper comes or goes; until cancelled."""
        seen = 0
        while True:
            try:
                now = await self._keeper.news(seen)
            except PydraError:
                now = 0
            if now != seen:
                seen = now
                wake()
            if not now:
                await asyncio.sleep(_AGAIN)

    def verdict(self, part: Part) -> Verdict:
        """How MPS is on a device."""
        state = self._daemons.get(part.uuid or "")
        if self._said and part.uuid in self._served:
            return Verdict("MpsKeeperGone", f"programs under MPS have no daemon: {self._said}")
        if state and state.tenants and not state.alive:
            names = ", ".join(sorted({tenant.name for tenant in state.tenants}))
            return Verdict(
                "MpsDaemonDied",
                f"its MPS daemon died under {names}: {state.why}; delete their pods, and it starts again with the next",
            )
        return Verdict()

    def samples(self, gpus: Iterable[Gpu]) -> Iterator[Sample]:
        """What is counted of daemons and their tenants, from the latest look."""
        for gpu in gpus:
            if gpu.minor is not None and (state := self._daemons.get(gpu.uuid or "")):
                yield from mps_samples(gpu.minor, state)

    async def _ask(self, gpu: MpsGpu) -> None:
        try:
            self._able[gpu.uuid] = await self._looking.capabilities(gpu)
        except PydraError as err:
            if not await self._answers():
                self._trouble(str(err))
            elif self._unknown.get(gpu.uuid) != str(err):  # of this GPU alone, and not of tenants
                self._unknown[gpu.uuid] = str(err)
                extra = {"gpu": gpu.uuid, "reason": err.reason, "why": str(err)}
                _log.warning("what MPS can do on a GPU cannot be told", extra=extra)
        else:
            self._unknown.pop(gpu.uuid, None)

    async def _answers(self) -> bool:
        try:
            await self._looking.daemons()
        except PydraError:
            return False
        return True

    def _trouble(self, why: str) -> None:
        if self._said != why:
            self._said = why
            _log.warning("MPS keeper does not answer", extra={"why": why})


def _of(part: Part) -> MpsGpu:
    """What programs of a device talk to: the daemon of its GPU, or of its MIG device."""
    known = _gpu(part.gpu) if part.mig is None else _mig(part)
    if known is None:
        raise DeviceError(
            f"GPU {part.gpu.uuid}: NVML tells no multiprocessors or memory of it, so that MPS cannot be given limits; see"
            " this driver's log for what failed, or take TimeSlicing",
            device=part.gpu.uuid,
        )
    return known


def _gpu(gpu: Gpu) -> MpsGpu | None:
    sms = gpu.multiprocessors
    if not (gpu.uuid and sms and gpu.memory and gpu.compute_capability):
        return None
    return MpsGpu(gpu.uuid, sms, gpu.memory.total, gpu.compute_capability)


def _mig(part: Part) -> MpsGpu | None:
    mig, kind = part.mig, part.partition.profile if part.partition else part.mig
    if mig is None or kind is None or not mig.uuid:
        return None
    if not (kind.multiprocessors and kind.memory and part.gpu.compute_capability):
        return None
    return MpsGpu(mig.uuid, kind.multiprocessors, kind.memory, part.gpu.compute_capability)


def _told(claim: Claim, uuid: str, attached: Attached) -> dict[str, object]:
    limits = {"sms": attached.sms, "percent": attached.percent, "bytes": attached.memory}
    extra = {"claim": str(claim.ref), "uid": claim.uid, "gpu": uuid, "by": attached.enforcement}
    return extra | {name: value for name, value in limits.items() if value is not None}
