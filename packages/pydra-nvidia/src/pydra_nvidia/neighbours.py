"""What other claims do with a GPU that several share: whoever comes must fit in, with its share and its way of sharing.

The scheduler keeps the sums, but hands out what a claim gave back before its pod's programs have ended; and it knows
nothing of how programs share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydra_core import Claim, ClaimConfigError, ClaimRef, PreparedClaim
from pydra_core.errors import DeviceBusyError
from pydra_nvidia.shares import Offer
from pydra_nvidia.sharing import Limits, Turns, Use
from pydra_nvidia.turns import SLICE

if TYPE_CHECKING:
    from pydra_core.driver import Driver

UUID, WAY, TOOK = "uuid", "use", "took"
_MPS, _TURNS = "mps", "turns"


@dataclass(frozen=True, slots=True)
class Presence:
    """A claim on a GPU: how its programs share (empty: not at all), how long turns are, and what it took."""

    way: str = ""
    interval: str = ""
    took: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, use: Use, took: Mapping[str, int]) -> Presence:
        """Of a claim that is being prepared."""
        if isinstance(use, Limits):
            return cls(_MPS, took=took)
        return cls(_TURNS, use.interval or "", took) if isinstance(use, Turns) else cls(took=took)

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> Presence:
        """Of one that was."""
        took = {str(name): int(amount) for name, amount in state.get(TOOK, {}).items()}
        return cls(str(state.get(WAY, "")), str(state.get(SLICE, "")), took)

    @property
    def by_mps(self) -> bool:
        """Whether its programs run under MPS."""
        return self.way == _MPS

    def state(self) -> dict[str, Any]:
        """As JSON values, without the interval, which is kept by whoever set it."""
        return {k: v for k, v in ((WAY, self.way), (TOOK, {**self.took})) if v}


class Neighbours:
    """Who is on the GPUs of this node.

    Args:
        driver: whose journal is asked.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._coming: dict[str, dict[str, tuple[ClaimRef, Presence]]] = {}

    async def join(self, claim: Claim, uuid: str, mine: Presence, offer: Offer) -> None:
        """See that a claim fits onto a GPU, and count it among those that are there from now on.

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
        others += [one for uid, one in coming.items() if uid not in there_already]
        _check_sums(claim, uuid, mine, offer, others)
        for ref, there in others:
            _check_way(claim, uuid, mine, ref, there)
        coming[claim.uid] = (claim.ref, mine)

    def forget(self, uid: str) -> None:
        """A claim is not coming any more, or has left."""
        for coming in self._coming.values():
            coming.pop(uid, None)

    async def turns_besides(self, uuid: str, uid: str) -> Mapping[str, Any] | None:
        """What was kept of another claim that set how long turns on a GPU are; None if there is no such claim."""
        for held in await self._driver.held():
            for device in held.devices:
                state = device.state
                if held.ref.uid != uid and state.get(UUID) == uuid and SLICE in state:
                    return state
        return None


def _present(held: Iterable[PreparedClaim], uuid: str) -> Iterator[tuple[ClaimRef, Presence]]:
    for claim in held:
        for device in claim.devices:
            if device.state.get(UUID) == uuid:
                yield claim.ref, Presence.read(device.state)


def _check_sums(
    claim: Claim,
    uuid: str,
    mine: Presence,
    offer: Offer,
    others: Sequence[tuple[ClaimRef, Presence]],
) -> None:
    for name, most in offer.most.items():
        holders = [(str(ref), there.took[name]) for ref, there in others if name in there.took]
        taken = sum(amount for _, amount in holders)
        if mine.took.get(name, 0) + taken > most:
            who = ", ".join(sorted({ref for ref, _ in holders}))
            raise DeviceBusyError(
                f"claim {claim.ref}: GPU {uuid}: {mine.took[name]} of {most} {name} were given to it, and {taken} are"
                f" still in the hands of {who}; they are free once those claims' last pods are gone",
                device=uuid,
            )


def _check_way(claim: Claim, uuid: str, mine: Presence, ref: ClaimRef, there: Presence) -> None:
    words = {_MPS: "by MPS", _TURNS: "in turns"}
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
