"""What a demo has to tell, as values; how it is told is the renderer's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class HostBuilt:
    """A machine that is none was built, for the driver to find its devices."""

    host: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DriverStarted:
    """The driver runs as its own process, the kubelet has registered it and its slices are published."""

    driver: str
    node: str
    seconds: float


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One slice in the columns `kubectl get resourceslices` shows (age in seconds), and its devices."""

    name: str
    node: str
    driver: str
    pool: str
    age: int
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SlicesPublished:
    """All slices of the driver."""

    rows: tuple[SliceRow, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """One manifest file was applied."""

    file: str
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClaimAllocated:
    """The scheduler chose devices for a claim; one text per device, with what it takes of it."""

    claim: str
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DriverCalled:
    """The kubelet called the driver over gRPC."""

    method: str
    version: str
    claims: int
    milliseconds: float
    outcome: str


@dataclass(frozen=True, slots=True)
class DriverLogged:
    """What the driver logged up to a call that failed, after what was told before."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpecWritten:
    """A spec file the driver wrote: its name and, per CDI device, the environment it injects."""

    file: str
    devices: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class PodFinished:
    """A pod came to its end: phase, what it printed, and why it failed if it did."""

    pod: str
    phase: str
    output: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """Everything the manifests made is gone again."""

    claims: int
    specs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class PodWaits:
    """A pod that was expected to wait does: the reason and message of its PodScheduled condition."""

    pod: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PodExplained:
    """Why the pod waits, as `pydra explain` says it."""

    pod: str
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end: everything is stopped and removed; how many pods ended how."""

    succeeded: int
    failed: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The end, asked for by a signal: everything is stopped and removed."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The end, by an error: who must act is in `reason`, what to do in `message`."""

    reason: str
    message: str


Event: TypeAlias = (
    HostBuilt
    | DriverStarted
    | SlicesPublished
    | Applied
    | ClaimAllocated
    | DriverCalled
    | DriverLogged
    | SpecWritten
    | PodFinished
    | PodWaits
    | PodExplained
    | CleanedUp
    | Finished
    | Interrupted
    | Broken
)
