"""What the kubelet said to a driver, as values for whoever watches (`pydra demo`, tests, recordings)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, order=True)
class ClaimRef:
    """A claim as the kubelet names it to a driver."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DriverCall:
    """One finished gRPC call from the kubelet to a driver.

    `service` is the full gRPC service name, `endpoint` the socket, `code` the status in Go's words
    (`OK`, `DeadlineExceeded`, …), `error` its text. `claim_errors` holds the per-claim errors of an
    answer whose code is `OK`, by claim UID. Times are seconds on the kubelet's clock.
    """

    service: str
    method: str
    driver: str
    endpoint: str
    claims: tuple[ClaimRef, ...]
    started: float
    duration: float
    code: str
    error: str = ""
    claim_errors: tuple[tuple[str, str], ...] = ()


CallObserver: TypeAlias = Callable[[DriverCall], None]


def ignore_call(_call: DriverCall) -> None:
    """The observer of a kubelet nobody watches."""
