"""How long the kit waits: the kubelet's times, or shorter ones that make a run take seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All in seconds.

    Attributes:
        start: From the start of a driver to its registration and its first slices.
        call: Deadline of a call that is expected to be answered.
        deadline: Deadline of a call that is kept from being answered, in the kubelet's place of 45 s.
        moment: What is given to something that should not happen, or that nobody sees from outside.
        recovery: Until a device that got well is offered again.
        notice: Until the kubelet must have noticed what a driver did, and for an answer that waits for nobody.
        stop: From SIGTERM to the end of the driver.
        case: One case as a whole.
        reconcile: Between two looks of the kubelet at its sockets.
        info: Deadline of GetInfo.
        notify: Deadline of NotifyRegistrationStatus.
        backoff: First pause after a failed registration; doubles up to eight times that.
    """

    start: float = 20.0
    call: float = 10.0
    deadline: float = 1.5
    moment: float = 0.5
    recovery: float = 20.0
    notice: float = 3.0
    stop: float = 12.0
    case: float = 60.0
    reconcile: float = 0.05
    info: float = 1.0
    notify: float = 5.0
    backoff: float = 0.05


QUICK = Limits()

KUBELET = Limits(
    start=120.0, call=45.0, deadline=45.0, moment=2.0, recovery=300.0, notice=30.0, stop=30.0, case=600.0, reconcile=1.0,
    backoff=0.5,
)  # fmt: skip
"""Kubelet 1.36's own."""
