"""What may be asked of a part of a GPU, and what a claim took of it: consumable capacities (KEP-5075).

Whatever is not asked for is taken whole, so that a claim that says nothing has the GPU for itself. What cannot be held
to is not offered: a claim for multiprocessors stays pending rather than being given what others may use as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydra_core import Allocation, Capacity, RequestPolicy, ValidRange
from pydra_core.quantity import parse
from pydra_core.values import binary
from pydra_nvidia.gpus import Gpu
from pydra_nvidia.mps.values import Capabilities

MIB = 1 << 20
NONE = "none"
_NOTHING = RequestPolicy(default="0", valid_values=("0",))
"""Seen by selectors, and never to be asked for: no request for it can be met."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What an operator lets claims ask for: some memory, some multiprocessors, or a number of equal shares."""

    memory: bool = False
    sms: bool = False
    number: int = 0

    def __bool__(self) -> bool:
        return self.memory or self.sms or self.number > 0


NO_SHARES = Shares()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """How one GPU is shared.

    Attributes:
        memory: Bytes to ask for, in whole MiB; 0 if memory is not asked for.
        sms: Multiprocessors to ask for, a multiple of `unit`; 0 if they are not.
        unit: Multiprocessors that are given together.
        all_memory: Bytes the GPU has.
        all_sms: Multiprocessors it has; 0 if nobody tells.
        number: Of equal shares; 0 if there are none.
        enforcement: What holds programs to their part, as published; `none` if nothing does.
    """

    memory: int = 0
    sms: int = 0
    unit: int = 1
    all_memory: int = 0
    all_sms: int = 0
    number: int = 0
    enforcement: str = NONE

    @property
    def enforced(self) -> bool:
        """Whether MPS can serve the GPU."""
        return self.enforcement != NONE

    @property
    def most(self) -> Mapping[str, int]:
        """What all claims together may take, by name."""
        every = {"memory": self.memory, "sms": self.sms, "shares": self.number}
        return {name: amount for name, amount in every.items() if amount}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a claim took of a GPU: bytes, multiprocessors, shares; None for all there is, or what is not asked for."""

    memory: int | None = None
    sms: int | None = None
    shares: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left for another claim."""
        return self.memory is None and self.sms is None and self.shares is None

    def of(self, offer: Offer) -> dict[str, int]:
        """As amounts, by name: of all that can be asked for."""
        mine = {"memory": self.memory, "sms": self.sms, "shares": self.shares}
        return {n: most if mine[n] is None else mine[n] or 0 for n, most in offer.most.items()}


WHOLE = Taken()


def offer(gpu: Gpu, shares: Shares, able: Capabilities | None) -> Offer | None:
    """How a GPU is shared; None if it is not: partitioned, or nothing of what is to be asked for can be.

    Args:
        gpu: one that is not in MIG mode, or nothing is offered.
        shares: what the operator lets claims ask for.
        able: what MPS can do on it; None where there is no MPS.
    """
    if gpu.partitioned or not shares:
        return None
    enforcement = able.enforcement if able else NONE
    all_memory = gpu.memory.total if gpu.memory else 0
    sms = able.most if able and shares.sms and enforcement != NONE else 0
    found = Offer(
        memory=all_memory // MIB * MIB if shares.memory else 0,
        sms=sms,
        unit=able.unit if able and sms else 1,
        all_memory=all_memory,
        all_sms=gpu.multiprocessors or 0,
        number=shares.number,
        enforcement=enforcement,
    )
    return found if found.memory or found.sms or found.number else None


def capacities(offer: Offer, known: Mapping[str, str | int]) -> dict[str, Capacity]:
    """The capacities of a shared GPU.

    The API server wants default and maximum to be whole steps; beyond the maximum nothing is left that could be asked
    for, so that a claim that takes the most has the GPU for itself.

    Args:
        offer: how it is shared.
        known: what a GPU that is not shared has.
    """
    found = {name: Capacity(str(value), _NOTHING) for name, value in known.items()}
    if offer.memory:
        found["memory"] = Capacity(binary(offer.memory), _up_to(binary(offer.memory), "1Mi"))
    if offer.sms:
        value = str(max(offer.all_sms, offer.sms))
        found["sms"] = Capacity(value, _up_to(str(offer.sms), str(offer.unit)))
    if offer.number:
        found["shares"] = Capacity(str(offer.number), _up_to(str(offer.number), "1", "1"))
    return found


def taken(allocation: Allocation, offer: Offer | None) -> Taken:
    """What a claim took of a GPU; all of one that is not shared.

    Raises:
        ValueError: of what is not to be had now; the text says of what.
    """
    consumed = _consumed(allocation)
    most = offer.most if offer else {}
    if gone := sorted(set(consumed) - set(most)) or (
        ["a share"] * bool(allocation.share_id and not offer)
    ):
        raise ValueError(gone[0])
    part = {name: amount for name, amount in consumed.items() if amount < most[name]}
    return Taken(**part)


def _consumed(allocation: Allocation) -> dict[str, int]:
    known = {n.rpartition("/")[2]: parse(q).value() for n, q in allocation.consumed.items()}
    return {n: known[n] for n in ("memory", "sms", "shares") if known.get(n)}


def _up_to(most: str, step: str, default: str = "") -> RequestPolicy:
    valid = ValidRange(minimum=step, maximum=most, step=step)
    return RequestPolicy(default=default or most, valid_range=valid)
