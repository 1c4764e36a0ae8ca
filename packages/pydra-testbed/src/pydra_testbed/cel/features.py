"""The feature gates that change what selectors may say, as Kubernetes' CEL compiler takes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Features:
    """Gates by their effect: DRAConsumableCapacity (on in 1.36) and DRAListTypeAttributes (off)."""

    consumable_capacity: bool = True
    list_attributes: bool = False


DEFAULT = Features()
