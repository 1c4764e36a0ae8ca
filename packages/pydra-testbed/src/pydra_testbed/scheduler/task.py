"""What goes into an allocation and what comes out."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydra_core.quantity import Quantity
from pydra_testbed.scheduler.model import (
    Claim,
    Device,
    DeviceClass,
    InUse,
    Node,
    Request,
)
from pydra_testbed.scheduler.pools import Inventory
from pydra_testbed.scheduler.verdicts import Verdicts


def new_share_id() -> str:
    """A share ID as the API wants it: a lowercase UUID of 36 characters."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class AllocationInput:
    """All claims of one pod that are not allocated yet, and everything that decides where they fit.

    `most_steps` bounds the search, as a filter timeout of 10 s does in Kubernetes; 100 000 take about 0.5 s.
    """

    node: Node
    claims: tuple[Claim, ...]
    classes: Mapping[str, DeviceClass]
    inventory: Inventory
    in_use: InUse
    verdicts: Verdicts = field(default_factory=Verdicts)
    share_ids: Callable[[], str] = new_share_id
    most_steps: int = 100_000


@dataclass(frozen=True, slots=True)
class Pick:
    """One device chosen for one request."""

    request: Request
    device: Device
    share_id: str = ""
    consumed: Mapping[str, Quantity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClaimAllocation:
    """A claim with the `status.allocation` it is to get (without timestamp)."""

    claim: Claim
    allocation: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Allocated:
    """Every claim fits on the node together."""

    claims: tuple[ClaimAllocation, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The claims do not fit on this node; others may do."""

    reason: str
