"""What drivers say about the health of their devices, and what a pod's status says of it (KEP-4680).

Filled by the streams of `DriverInstance`, read when a pod's status is computed. A device of which nothing was
heard for its timeout is Unknown, and so are all of a driver's when its stream ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydra_core._proto import dra_health_v1alpha1_pb2 as messages
from pydra_testbed.clock import Clock
from pydra_testbed.kubelet.services import PreparedDevice
from pydra_testbed.objects import KubeObject

UNKNOWN = "Unknown"
_WORDS = {messages.HEALTHY: "Healthy", messages.UNHEALTHY: "Unhealthy"}
_LONGEST = 1024
_ELLIPSIS = "..."

DeviceKey: TypeAlias = tuple[str, str, str]
"""Driver, pool and device."""


@dataclass(frozen=True, slots=True)
class Health:
    """How a device is: Healthy, Unhealthy or Unknown, and why."""

    state: str = UNKNOWN
    message: str = ""


@dataclass(frozen=True, slots=True)
class _Report:
    health: Health
    at: float
    timeout: float


class HealthCache:
    """The last report on each device; times are the kubelet's own, whatever a driver says.

    `changed` hears which devices are reported as something else than before.
    """

    def __init__(
        self, clock: Clock, timeout: float, changed: Callable[[set[DeviceKey]], None]
    ) -> None:
        self._clock = clock
        self._timeout = timeout
        self._changed = changed
        self._reports: dict[DeviceKey, _Report] = {}

    def report(self, driver: str, response: messages.NodeWatchResourcesResponse) -> None:
        """Take in a complete list; a device it does not name keeps its last report until that is too old."""
        news: set[DeviceKey] = set()
        for entry in response.devices:
            key = (driver, entry.device.pool_name, entry.device.device_name)
            health = Health(_WORDS.get(entry.health, UNKNOWN), shortened(entry.message))
            if key not in self._reports or self.of(key) != health:
                news.add(key)
            timeout = float(entry.health_check_timeout_seconds) or self._timeout
            self._reports[key] = _Report(health, self._clock.monotonic(), timeout)
        if news:
            self._changed(news)

    def clear(self, driver: str) -> None:
        """Nothing is known of a driver's devices any more; pods show it when their status is next written."""
        self._reports = {key: report for key, report in self._reports.items() if key[0] != driver}

    def of(self, key: DeviceKey) -> Health:
        """How a device is now."""
        report = self._reports.get(key)
        if report is None or self._clock.monotonic() - report.at > report.timeout:
            return Health()
        return report.health


def shortened(message: str) -> str:
    """At most 1024 characters."""
    if len(message) <= _LONGEST:
        return message
    return message[: _LONGEST - len(_ELLIPSIS)] + _ELLIPSIS


def resources_status(
    entries: Sequence[KubeObject],
    devices: Callable[[KubeObject], Iterable[tuple[str, PreparedDevice]]],
    cache: HealthCache,
) -> list[KubeObject]:
    """`allocatedResourcesStatus` of a container with these claims.

    `devices` names driver and device of an entry of the container's `resources.claims`.
    """
    found = []
    for entry in entries:
        name = f"claim:{entry['name']}"
        if entry.get("request"):
            name += f"/{entry['request']}"
        resources = list(_resources(devices(entry), cache))
        if resources:
            found.append({"name": name, "resources": resources})
    return found


def _resources(
    devices: Iterable[tuple[str, PreparedDevice]], cache: HealthCache
) -> Iterator[KubeObject]:
    shown: dict[str, Mapping[str, str]] = {}
    for driver, device in devices:
        path = f"{driver}/{device.pool}/{device.device}"
        health = cache.of((driver, device.pool, device.device))
        entry = {"resourceID": device.cdi_ids[0] if device.cdi_ids else path}
        entry["health"] = health.state
        shown[path] = entry | ({"message": health.message} if health.message else {})
    yield from (dict(entry) for entry in shown.values())
