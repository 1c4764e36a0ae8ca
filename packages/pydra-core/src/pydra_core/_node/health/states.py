"""From observations to what holds: a pure state machine with hysteresis, tested by tables.

A device fails after `fails_after` seconds of being seen unhealthy and recovers after `recovers_after` seconds of
being seen healthy without a break. What is not seen any more becomes unknown, except what was unhealthy: that
nobody looks does not mend a device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydra_core.health import DeviceHealth, Health, HealthPolicy


@dataclass(frozen=True, slots=True)
class State:
    """What holds of one device.

    Attributes:
        holds: What everybody is told.
        seen: The latest observation; None before the first.
        since: Monotonic seconds since which that kind of observation has come without a break.
    """

    holds: DeviceHealth
    seen: DeviceHealth | None = None
    since: float = 0.0


def unknown(pool: str, device: str) -> State:
    """The state of a device nobody has looked at."""
    return State(DeviceHealth(device=device, pool=pool, health=Health.UNKNOWN))


def observe(state: State, seen: DeviceHealth, now: float, policy: HealthPolicy) -> State:
    """Take in one observation."""
    same = state.seen is not None and state.seen.health == seen.health
    return settle(replace(state, seen=seen, since=state.since if same else now), now, policy)


def settle(state: State, now: float, policy: HealthPolicy) -> State:
    """Let hold what has been seen for long enough."""
    if state.seen is None or state.holds == state.seen:
        return state
    when = due(state, policy)
    return state if when is None or now < when else replace(state, holds=state.seen)


def due(state: State, policy: HealthPolicy) -> float | None:
    """When what was seen last will hold if nothing else is seen, in monotonic seconds; None: never or already."""
    if state.seen is None or state.holds == state.seen:
        return None
    before, after = state.holds.health, state.seen.health
    if before == after:
        return state.since
    if before is Health.UNHEALTHY:
        return state.since + policy.recovers_after if after is Health.HEALTHY else None
    return state.since + (policy.fails_after if after is Health.UNHEALTHY else 0.0)
