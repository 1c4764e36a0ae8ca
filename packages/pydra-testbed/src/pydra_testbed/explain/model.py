"""What an explanation consists of, as frozen values: `-o json` and `-o yaml` are these, field by field.

Amounts are spelled as Kubernetes quantities; names of claims and pods are `namespace/name`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class Verdict(Enum):
    """How it stands with a pod or claim."""

    ALLOCATED = "Allocated"
    SATISFIABLE = "Satisfiable"
    WAITING = "Waiting"
    UNSATISFIABLE = "Unsatisfiable"


class Kind(Enum):
    """What sort of thing stands in the way."""

    SELECTOR_FALSE = "SelectorFalse"
    SELECTOR_ERROR = "SelectorError"
    TAINT = "TaintNotTolerated"
    IN_USE = "InUse"
    COUNTER = "CounterExhausted"
    CAPACITY = "CapacityExhausted"
    CONSTRAINT = "ConstraintMismatch"
    COMPETING = "TakenBySamePod"
    OTHER_NODE = "OtherNode"
    POOL_INCOMPLETE = "PoolIncomplete"
    POOL_INVALID = "PoolInvalid"
    NO_SLICES = "NoSlices"
    TOO_FEW = "TooFewDevices"
    NO_CLASS = "ClassMissing"
    NO_CLAIM = "ClaimMissing"
    NO_TEMPLATE = "TemplateMissing"
    FOREIGN_CLAIM = "ClaimOfAnotherPod"
    CLAIM_FULL = "ClaimFull"
    CLAIM_ELSEWHERE = "ClaimAllocatedElsewhere"
    ADMIN_ACCESS = "AdminAccessForbidden"
    NODE = "NodeRefused"
    RESOURCE = "ResourceExhausted"
    UNDECIDED = "Undecided"


@dataclass(frozen=True, slots=True)
class SelectorPart:
    """A part of a selector (class or claim `owner`), and the device's values it looks at."""

    owner: str
    name: str
    request: str
    index: int
    expression: str
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Amount:
    """So much of a counter or capacity is asked, so much is left of the total."""

    name: str
    asked: str
    left: str
    total: str


@dataclass(frozen=True, slots=True)
class TaintPart:
    """A taint of a device."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Holders:
    """The claims that hold something, and the pods they are reserved for."""

    claims: tuple[str, ...]
    pods: tuple[str, ...]


Cause: TypeAlias = SelectorPart | Amount | TaintPart | Holders


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing that stands in the way: in words, what to do about it, and the facts behind it."""

    kind: Kind
    text: str
    remedy: str = ""
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """One device judged for one request."""

    driver: str
    pool: str
    device: str
    obstacles: tuple[Obstacle, ...]


@dataclass(frozen=True, slots=True)
class RequestReport:
    """One request, or one alternative of it, on one node; devices with the fewest obstacles come first.

    `wanted` is 0 where all devices are asked for.
    """

    claim: str
    request: str
    device_class: str
    wanted: int
    fitting: int
    obstacles: tuple[Obstacle, ...]
    devices: tuple[DeviceReport, ...]
    other_drivers: int = 0


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node: what refuses the pod itself, then request by request."""

    node: str
    obstacles: tuple[Obstacle, ...]
    requests: tuple[RequestReport, ...]


@dataclass(frozen=True, slots=True)
class ClaimReport:
    """A claim of the subject; `template` where it came from, `devices` what is allocated already."""

    claim: str
    template: str
    is_made: bool
    node: str
    devices: tuple[str, ...]
    reserved_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """A device the scheduler would take now."""

    claim: str
    request: str
    device: str
    node: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer; `change` is the cheapest single change that would help, empty if none is clear."""

    subject: str
    verdict: Verdict
    summary: str
    scheduler: str = ""
    claims: tuple[ClaimReport, ...] = ()
    choices: tuple[Choice, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    nodes: tuple[NodeReport, ...] = ()
    change: str = ""
    notes: tuple[str, ...] = ()
