"""What other claims do with a GPU that several share: whoever comes must fit in, with its share and its way of sharing.

The scheduler keeps the sums, but hands out what a claim gave back before its pod's programs have ended; and it knows
nothing of how programs share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydra_core import Claim, ClaimConfigError, ClaimRef, PreparedClaim
from pydra_core.errors import DeviceBusyError
from pydra_nvidia.presence import MPS, TURNS, UUID, WAY, Presence, shown
from pydra_nvidia.shares import Offer

if TYPE_CHECKING:
    from pydra_core.driver import Driver


class Neighbours:
    """Who is on the GPUs of this node.

    Args:
        driver: whose journal is asked.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._coming: dict[str, dict[str, tuple[ClaimRef, Sequence[Presence]]]] = {}
        self._begun: dict[str, list[Mapping[str, Any]]] = {}

    async def join(self, claim: Claim, uuid: str, mine: Sequence[Presence], offer: Offer) -> None:
        """See that a claim fits onto a GPU, and count it among those that are there from now on.

        Args:
            claim: which.
            uuid: the GPU's.
            mine: each of its shares of the GPU.
            offer: how that is shared.

        Raises:
            DeviceBusyError: others still hold what it was given.
            ClaimConfigError: others share in another way.
        """
        held = await self._driver.held()
        coming = self._coming.setdefault(uuid, {})
        known = {h.ref.uid for h in held}
        for gone in [uid for uid in coming if uid not in known]:
            del coming[gone]
        others = [one for one in _present(held, uuid) if one[0].uid != claim.uid]
        there_already = {claim.uid, *(ref.uid for ref, _ in others)}
        others += [
            (ref, one)
            for uid, (ref, all_) in coming.items()
            if uid not in there_already
            for one in all_
        ]
        _check_sums(claim, uuid, mine, offer, others)
        for number, one in enumerate(mine):
            for ref, there in (*others, *((claim.ref, before) for before in mine[:number])):
                _check_way(claim, uuid, one, ref, there)
        coming[claim.uid] = (claim.ref, mine)

    async def before(self, claim: Claim) -> Mapping[tuple[str, str], int]:
        """Into how many equal shares a GPU was divided when the claim got its part, by device and share ID."""
        own = [h for h in await self._driver.held() if h.ref.uid == claim.uid]
        devices = (device for held in own for device in held.devices)
        return {(d.device, d.share_id): Presence.read(d.state).number for d in devices}

    def began(self, uid: str, state: Mapping[str, Any]) -> None:
        """Note what will be in the journal of a claim: the next one may come before it is."""
        self._begun.setdefault(uid, []).append(state)

    def begun(self, uid: str, uuid: str) -> Mapping[str, Any]:
        """What this process began for a claim on a GPU; empty if it began nothing there."""
        return next((s for s in reversed(self._begun.get(uid, [])) if s.get(UUID) == uuid), {})

    def forget(self, uid: str) -> None:
        """A claim is not coming any more, or has left."""
        self._begun.pop(uid, None)
        for coming in self._coming.values():
            coming.pop(uid, None)

    async def states(self, uuid: str, besides: str = "") -> list[Mapping[str, Any]]:
        """What was kept of the claims whose programs share a GPU, in turns or by MPS.

        Args:
            uuid: the GPU's.
            besides: UID of a claim to leave out.
        """
        held = await self._driver.held()
        found = [(h.ref.uid, device.state) for h in held for device in h.devices]
        found += [(h.ref.uid, state) for h in held for state in self._begun.get(h.ref.uid, ())]
        return [s for uid, s in found if uid != besides and s.get(UUID) == uuid and s.get(WAY)]


def _present(held: Iterable[PreparedClaim], uuid: str) -> Iterator[tuple[ClaimRef, Presence]]:
    for claim in held:
        for device in claim.devices:
            if device.state.get(UUID) == uuid:
                yield claim.ref, Presence.read(device.state)


def _check_sums(
    claim: Claim,
    uuid: str,
    mine: Sequence[Presence],
    offer: Offer,
    others: Sequence[tuple[ClaimRef, Presence]],
) -> None:
    for name, most in offer.most.items():
        taken = sum(there.amount(name, offer) for _, there in others)
        asked = sum(one.took[name] for one in mine)
        if asked + taken > most:
            who = ", ".join(sorted({f"{ref}{there.otherwise(offer)}" for ref, there in others}))
            raise DeviceBusyError(
                f"claim {claim.ref}: GPU {uuid}: {asked} of {most} {name} were given to it, and {shown(taken)} are"
                f" still in the hands of {who}; they are free once those claims' last pods are gone",
                device=uuid,
            )


def _check_way(claim: Claim, uuid: str, mine: Presence, ref: ClaimRef, there: Presence) -> None:
    words = {MPS: "by MPS", TURNS: "in turns"}
    if mine.way and there.way and mine.way != there.way:
        raise ClaimConfigError(
            f"claim {claim.ref}: GPU {uuid}: sharing.strategy: its programs would share {words[mine.way]}, and those of"
            f" {ref} share it {words[there.way]}; take the same strategy, or another GPU by a selector",
            path="sharing.strategy",
        )
    if mine.interval and there.interval and mine.interval != there.interval:
        raise ClaimConfigError(
            f"claim {claim.ref}: GPU {uuid}: sharing.timeSlicingConfig.interval: turns on it are {there.interval} for"
            f" {ref}, and a GPU has one length of turns; take {there.interval}, or another GPU by a selector",
            path="sharing.timeSlicingConfig.interval",
        )
