"""Why a device was not taken: one value per refusal, for `pydra explain`.

The search tells a sink, when it has one, about each device it looked at and passed over. The same device
can be refused for one request many times while the search backtracks; sinks keep what they need.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from pydra_testbed.scheduler.model import DeviceId


class Reason(Enum):
    """What kept a device, or with `device` None a whole pool, from being taken."""

    POOL_INCOMPLETE = "not all slices of the pool have been published"
    POOL_INVALID = "the pool is invalid"
    IN_USE = "the device is in use"
    SELECTOR_FALSE = "a selector is false"
    SELECTOR_ERROR = "a selector failed"
    OTHER_NODE = "the device is for other nodes"
    CAPACITY = "not enough capacity is left"
    COUNTER = "not enough of a shared counter is left"
    TAINT = "a taint is not tolerated"
    CONSTRAINT = "a constraint of the claim would not hold"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One device passed over for one request on one node; `detail` says which selector, taint or attribute."""

    node: str
    claim: str
    request: str
    pool: str
    device: DeviceId | None
    reason: Reason
    detail: str = ""


class TraceSink(Protocol):
    """Whoever wants to know."""

    def refused(self, refusal: Refusal) -> None: ...
