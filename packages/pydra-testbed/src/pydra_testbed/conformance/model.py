"""What a case of the kit is, and what can come of it; `cases` makes them, `runner` runs them, `report` tells."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from pydra_testbed.conformance.older import Release
from pydra_testbed.objects import KubeObject

if TYPE_CHECKING:
    from pydra_testbed.conformance.stand import Stand


@dataclass(frozen=True, slots=True)
class Passed:
    """The driver did what is required."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The driver did something else: what was required, what it did, what its author should do."""

    expected: str
    seen: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """The case says nothing about this driver, or cannot be played here."""

    reason: str


Outcome: TypeAlias = Passed | Failed | Skipped


class Serving(enum.Enum):
    """What a driver is told to serve."""

    AS_IT_LIKES = enum.auto()
    BOTH = enum.auto()
    PLUGIN = enum.auto()

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables that tell it."""
        if self is Serving.AS_IT_LIKES:
            return {}
        plugin = {"ENABLE_DEVICE_PLUGIN": "true"}
        return plugin if self is Serving.BOTH else plugin | {"ENABLE_DRA": "false"}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a case needs of its node.

    Attributes:
        own: A node that no other case has used.
        secured: The API server demands a token, and allows what the kit's minimal role allows.
        long_root: The kubelet's root is so long that sockets named after driver and pod do not fit.
        starts: The driver is started before the case begins.
        debug: The driver is told to log all it can (`LOG_LEVEL=debug`).
        release: The driver's API server is seen through a `Front`, as this Kubernetes.
        alone: Run when all other cases are done, for it may touch what the nodes share: the machine's hardware.
        serving: Whether the driver is told to serve a device plugin, with DRA or alone.
    """

    own: bool = False
    secured: bool = False
    long_root: bool = False
    starts: bool = True
    debug: bool = False
    release: Release | None = None
    alone: bool = False
    serving: Serving = Serving.AS_IT_LIKES


@dataclass(frozen=True, slots=True)
class Case:
    """One requirement and how it is tried. `why` names the rule it rests on, `remedy` what mends a driver."""

    id: str
    title: str
    why: str
    remedy: str
    run: Callable[[Stand], Awaitable[None]] = field(repr=False)
    conditions: Conditions = Conditions()

    @property
    def family(self) -> str:
        """REG, PREP, UNPREP, SLICE, HEALTH, SHIELD, STATE, SEC or DP."""
        return self.id.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one case, and how long it took."""

    case: Case
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What the kit learned of the driver before the cases.

    Attributes:
        name: The driver's name; empty when it was never registered.
        socket: How it names its registration socket when it knows of no pod.
        is_ours: It keeps a journal of pydra-core, so white box cases say something about it.
        slices: The specs of the slices it published when it was started first.
        resources: The extended resources that it serves as a device plugin.
    """

    name: str = ""
    socket: str = ""
    is_ours: bool = False
    slices: tuple[KubeObject, ...] = field(default=(), repr=False)
    resources: tuple[str, ...] = ()


class NotMetError(Exception):
    """A case found what is required not to be so."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; seen: {seen}")
        self.expected = expected
        self.seen = seen


class UnsuitedError(Exception):
    """A case finds that it cannot be tried with this driver or on this machine."""
