"""How a claim's device is made ready for several programs, and given back after them: in turns, or by MPS."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydra_cdi import ContainerEdits
from pydra_core import Allocation, Claim, DeviceGoneError, HostError, PreparedDevice, PydraError
from pydra_core.metrics import Sample
from pydra_nvidia.counters import share_samples
from pydra_nvidia.gpus import Gpu
from pydra_nvidia.judging import Verdict
from pydra_nvidia.neighbours import Neighbours
from pydra_nvidia.parts import Part, divided
from pydra_nvidia.presence import GPU, TOOK, UUID, Presence
from pydra_nvidia.sharing import Limits, Use, share_of
from pydra_nvidia.tenancy import Tenancy
from pydra_nvidia.turns import MODE, end_turns, is_gone, take_turns

if TYPE_CHECKING:
    from pydra_core.driver import Driver
    from pydra_nvidia.shares import Offer

_log = logging.getLogger(__name__)
Chosen: TypeAlias = tuple[Allocation, Part, Use]
"""A device of a claim: as it was allocated, what it is, and how it is to be used."""


class Using:
    """Lets claims use the devices of one node.

    Args:
        driver: whose SDK is called, and whose journal is asked.
        tenancy: MPS; None where it is off.
    """

    def __init__(self, driver: Driver, tenancy: Tenancy | None) -> None:
        self._driver = driver
        self._tenancy = tenancy
        self._neighbours = Neighbours(driver)
        self._begun: set[str] = set()
        self._shares: list[tuple[str, Mapping[str, Any]]] = []
        self._turn: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Who comes to a GPU and who leaves it do not change it at the same time, by UUID."""

    async def as_before(
        self, claim: Claim, known: Sequence[tuple[Allocation, Part]]
    ) -> list[tuple[Allocation, Part]]:
        """The claim's devices; one that it has already, as after a reboot, divided as it was then."""
        before = await self._neighbours.before(claim) if any(a.share_id for a, _ in known) else {}
        return [(a, divided(part, before.get((a.device, a.share_id), 0))) for a, part in known]

    async def check(self, claim: Claim, chosen: Iterable[Chosen]) -> None:
        """See that the claim fits onto its GPUs beside others, before anything is changed.

        Raises:
            PydraError: it does not; the text says why and what to do.
        """
        mine: dict[str, tuple[Offer, list[Presence]]] = {}
        for allocation, part, use in chosen:
            if part.offer and not allocation.admin_access:
                took = share_of(claim, allocation, part).of(part.offer)
                _, all_ = mine.setdefault(part.gpu.uuid or "", (part.offer, []))
                all_.append(Presence.of(use, took, part.offer.number))
        for uuid, (offer, all_) in mine.items():
            await self._neighbours.join(claim, uuid, all_, offer)

    async def begin(
        self, root: Path, claim: Claim, chosen: Chosen
    ) -> tuple[ContainerEdits, dict[str, Any]]:
        """Make a device ready.

        Returns:
            What its containers get beside the device, and what `end` needs.

        Raises:
            PydraError: the vendor's tools refused; the text names the GPU and the call.
        """
        allocation, part, use = chosen
        uuid = part.uuid or ""
        state: dict[str, Any] = {UUID: uuid} | ({GPU: part.gpu.uuid} if part.is_mig else {})
        if part.offer and not allocation.admin_access:
            took = share_of(claim, allocation, part).of(part.offer)
            state |= Presence.of(use, took, part.offer.number).state()
        if use is None:
            return ContainerEdits(), state
        self._begun.add(claim.uid)
        edits, state = ContainerEdits(), state | Presence.of(use, {}).state()
        async with self._turn[uuid]:
            kept = await self._neighbours.states(uuid)
            state |= next(({MODE: one[MODE]} for one in kept if MODE in one), {})

            async def keep(more: Mapping[str, str]) -> None:
                if MODE in (about := {**state, **more}):
                    await self._driver.note(claim, allocation.prepared(state=about))

            try:
                if isinstance(use, Limits):
                    mps = self._mps()
                    edits, more = await mps.enter(root, claim, allocation, part, use, keep)
                else:
                    more = await take_turns(self._driver, root, uuid, use.interval, keep)
            except HostError as err:
                await self._see_gone(root, part.gpu.uuid or "", err)
                raise
            state |= more
            self._neighbours.began(claim.uid, state)
        return edits, state

    async def end(self, root: Path, claim: str, uuid: str, device: PreparedDevice) -> None:
        """Give a device back.

        Args:
            root: the driver root.
            claim: UID.
            uuid: the device's.
            device: with its state; without any if `begin` was interrupted.

        Raises:
            PydraError: the vendor's tools refused, and the GPU is there.
        """
        async with self._turn[uuid]:
            try:
                state = device.state or self._neighbours.begun(claim, uuid)
                await self._end(root, claim, uuid, state)
            except PydraError as err:
                if not await is_gone(self._driver, root, str(device.state.get(GPU, uuid))):
                    raise
                extra = {"gpu": uuid, "reason": err.reason, "why": str(err)}
                _log.warning("a GPU that is gone is not set back", extra=extra)
            self._neighbours.forget(claim)
        self._begun.discard(claim)

    async def look(self, root: Path) -> None:
        """See who shares which GPU, and how MPS is."""
        held = await self._driver.held()
        devices = [device for claim in held for device in claim.devices]
        self._shares = [(d.share_id, d.state) for d in devices if d.share_id and d.state.get(TOOK)]
        for uuid, claim in await self._tenancy.look() if self._tenancy else ():
            await self._evict(root, uuid, claim)

    async def listen(self, wake: Callable[[], None]) -> None:
        """Wake whoever looks when there is something to see; until cancelled."""
        if self._tenancy:
            await self._tenancy.listen(wake)

    def verdict(self, part: Part) -> Verdict:
        """Whether a device can be used by who shares it."""
        return self._tenancy.verdict(part) if self._tenancy else Verdict()

    def samples(self, gpus: Sequence[Gpu]) -> Iterator[Sample]:
        """What claims took of GPUs, and how MPS is, from the latest look."""
        minors = {gpu.uuid: gpu.minor for gpu in gpus}
        for share, state in self._shares:
            minor = minors.get(state[UUID])
            if minor is not None:
                yield from share_samples(minor, share, Presence.read(state).took)
        if self._tenancy:
            yield from self._tenancy.samples(gpus)

    def untouched(self, uid: str) -> bool:
        """Whether nothing was begun for a claim by this process."""
        if uid not in self._begun:
            self._neighbours.forget(uid)
        return uid not in self._begun

    async def _end(self, root: Path, claim: str, uuid: str, state: Mapping[str, Any]) -> None:
        """Take it off, and set back what nobody else who is on the GPU needs.

        The compute mode is the keeper's to remember, and the journal's for when the keeper is away or MPS was switched
        off.
        """
        others = await self._neighbours.states(uuid, besides=claim)
        if self._tenancy and (not state or Presence.read(state).by_mps):
            await self._tenancy.leave(root, uuid, claim, last=not others)
        await end_turns(self._driver, root, uuid, state, others)

    async def _evict(self, root: Path, uuid: str, claim: str) -> None:
        """Take off who is in no journal: the keeper was asked before, so that whoever came since is in it."""
        async with self._turn[uuid]:
            if self._tenancy and claim not in {held.ref.uid for held in await self._driver.held()}:
                await self._tenancy.evict(root, uuid, claim)

    async def _see_gone(self, root: Path, uuid: str, err: HostError) -> None:
        """Say of a tool that fails because the GPU is lost that it is: that is no trouble of the node's."""
        if await is_gone(self._driver, root, uuid):
            raise DeviceGoneError(
                f"GPU {uuid} is lost: {err}; delete the pod, and its next claim gets another",
                device=uuid,
            ) from err

    def _mps(self) -> Tenancy:
        if self._tenancy is None:
            raise HostError("MPS is off on this node; set NVIDIA_MPS=on")
        return self._tenancy
