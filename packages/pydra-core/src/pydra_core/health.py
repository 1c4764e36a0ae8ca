"""How a device is: what a driver's `watch_health` yields, and how much doubt it is given."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """What is known of a device. Unknown is not healthy: it is what holds until somebody looked (KEP-4680)."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHealth:
    """One observation of one device.

    `reason` is one CamelCase word or a label value (`DoubleBitError`): the taint's value and the condition's
    reason. `message` is for people, of at most 1024 characters. `effect` is that of the taint while the device is
    unhealthy: `NoSchedule` keeps new pods away, `NoExecute` also evicts those that use it, `None` only tells.
    `pool` is empty for the node's own pool; a further one, or one of the cluster, is named as the driver named it.
    """

    device: str
    health: Health
    reason: str = ""
    message: str = ""
    effect: str = "NoSchedule"
    pool: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """How long an observation must last until it counts, in seconds.

    `fails_after` is how long a device must be seen unhealthy until it is; `recovers_after` how long an unhealthy
    one must be seen healthy without a break. A device that flaps faster than that stays unhealthy.
    """

    fails_after: float = 0.0
    recovers_after: float = 60.0
