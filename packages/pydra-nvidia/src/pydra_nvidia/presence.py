"""A claim on a GPU that several share: what it took and how its programs share, as values that the journal keeps.

What was taken stays what it was when an operator changes `NVIDIA_SHARES`: one of four shares is a quarter of the GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pydra_nvidia.shares import Offer
from pydra_nvidia.sharing import Limits, Turns, Use
from pydra_nvidia.turns import SLICE

UUID, GPU, WAY, TOOK, NUMBER = "uuid", "gpu", "use", "took", "of"
MPS, TURNS = "mps", "turns"
_SHARES = "shares"


@dataclass(frozen=True, slots=True)
class Presence:
    """A claim on a GPU.

    Attributes:
        way: How its programs share; empty: not at all.
        interval: How long turns are.
        took: What it took, by name.
        number: Into how many equal shares the GPU was divided then; 0 if it was not, or nobody wrote it down.
    """

    way: str = ""
    interval: str = ""
    took: Mapping[str, int] = field(default_factory=dict)
    number: int = 0

    @classmethod
    def of(cls, use: Use, took: Mapping[str, int], number: int = 0) -> Presence:
        """Of a claim that is being prepared."""
        way = {Limits: MPS, Turns: TURNS}.get(type(use), "")
        interval = use.interval or "" if isinstance(use, Turns) else ""
        return cls(way, interval, took, number)

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> Presence:
        """Of one that was."""
        took = {str(name): int(amount) for name, amount in state.get(TOOK, {}).items()}
        way, interval = str(state.get(WAY, "")), str(state.get(SLICE, ""))
        return cls(way, interval, took, int(state.get(NUMBER, 0)))

    @property
    def by_mps(self) -> bool:
        """Whether its programs run under MPS."""
        return self.way == MPS

    def state(self) -> dict[str, Any]:
        """As JSON values, without the interval, which is kept by whoever set it."""
        known = ((WAY, self.way), (TOOK, {**self.took}), (NUMBER, self.number))
        return {key: value for key, value in known if value}

    def amount(self, name: str, offer: Offer) -> Fraction:
        """What it has of all that can be asked for now, in units of now.

        Equal shares are a part of everything. What else was taken under other settings cannot be told in these: it may
        be all there is.
        """
        most = offer.most[name]
        if self.number and _SHARES in self.took:
            return Fraction(self.took[_SHARES] * most, self.number)
        return Fraction(self.took.get(name, most))

    def otherwise(self, offer: Offer) -> str:
        """What to say behind the claim's name if it has shares of another number than there are now."""
        if self.number in (0, offer.number):
            return ""
        had = self.took.get(_SHARES, 0)
        return f" ({had} of {self.number} shares when NVIDIA_SHARES was {self.number})"


def shown(amount: Fraction | int) -> str:
    """An amount for people."""
    return str(amount) if amount.denominator == 1 else f"{float(amount):.2f}"
