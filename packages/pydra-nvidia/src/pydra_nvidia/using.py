"""How a claim's device is made ready for several programs, and given back after them: in turns, or by MPS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydra_cdi import ContainerEdits
from pydra_core import Allocation, Claim, HostError, PreparedDevice
from pydra_core.metrics import Sample
from pydra_nvidia.counters import share_samples
from pydra_nvidia.gpus import Gpu
from pydra_nvidia.judging import Verdict
from pydra_nvidia.neighbours import TOOK, UUID, Neighbours, Presence
from pydra_nvidia.sharing import Limits, Turns, Use, share_of
from pydra_nvidia.tenancy import Tenancy
from pydra_nvidia.turns import MODE, end_turns, take_turns

if TYPE_CHECKING:
    from pydra_core.driver import Driver
    from pydra_nvidia.parts import Part

Chosen: TypeAlias = tuple[Allocation, "Part", Use]
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

    async def check(self, claim: Claim, chosen: Iterable[Chosen]) -> None:
        """See that the claim fits onto its GPUs beside others, before anything is changed.

        Raises:
            PydraError: it does not; the text says why and what to do.
        """
        for allocation, part, use in chosen:
            if part.offer and not allocation.admin_access:
                took = share_of(claim, allocation, part).of(part.offer)
                mine = Presence.of(use, took)
                await self._neighbours.join(claim, part.gpu.uuid or "", mine, part.offer)

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
        state: dict[str, Any] = {UUID: uuid}
        if part.offer and not allocation.admin_access:
            state |= Presence.of(use, share_of(claim, allocation, part).of(part.offer)).state()
        if use is None:
            return ContainerEdits(), state
        self._begun.add(claim.uid)
        if isinstance(use, Limits):
            edits = await self._mps().enter(root, claim, allocation, part, use)
            return edits, state | Presence.of(use, {}).state()
        return ContainerEdits(), {**state, **await self._turns(root, claim, uuid, use)}

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
        self._neighbours.forget(claim)
        state = device.state
        if self._tenancy and (not state or Presence.read(state).by_mps):
            await self._tenancy.leave(root, uuid, claim)
        others = await self._neighbours.turns_besides(uuid, claim)
        if others is None:
            await end_turns(self._driver, root, uuid, state)
        self._begun.discard(claim)

    async def look(self, root: Path) -> None:
        """See who shares which GPU, and how MPS is."""
        held = await self._driver.held()
        devices = [device for claim in held for device in claim.devices]
        self._shares = [(d.share_id, d.state) for d in devices if d.share_id and d.state.get(TOOK)]
        if self._tenancy:
            await self._tenancy.look(root, {claim.ref.uid for claim in held})

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

    async def _turns(self, root: Path, claim: Claim, uuid: str, use: Turns) -> Mapping[str, Any]:
        others = await self._neighbours.turns_besides(uuid, claim.uid) or {}
        kept = await take_turns(self._driver, root, uuid, use.interval)
        mode = {MODE: others[MODE]} if MODE in others else {}
        return {**mode, **kept}

    def _mps(self) -> Tenancy:
        if self._tenancy is None:
            raise HostError("MPS is off on this node; set NVIDIA_MPS=on")
        return self._tenancy
