"""Prometheus metrics of one driver process. Labels are bounded: never a claim, pod or device name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pydra_core._telemetry.own import OwnMetrics
from pydra_core._telemetry.vendor import VendorMetrics
from pydra_core.driver import Driver

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40)


class Metrics:
    """All metrics, each registered in this instance's own registry so that two drivers can share a process."""

    def __init__(self, driver: str) -> None:
        self.registry = CollectorRegistry()
        self._driver = driver
        self._gauges: dict[str, Gauge] = {}
        self.calls = self._histogram(
            "pydra_grpc_request_duration_seconds", "Calls from the kubelet.", ("method",)
        )
        self.claims = self._counter(
            "pydra_claims_total",
            "Claims prepared or unprepared, by result.",
            ("operation", "reason"),
        )
        self.prepared = self._gauge("pydra_prepared_claims", "Claims prepared now.")
        self.registered = self._gauge("pydra_registered", "1 while the kubelet knows this driver.")
        self.devices = self._gauge("pydra_devices", "Devices found by the last discovery.")
        self.slice_writes = self._counter(
            "pydra_slice_writes_total", "Writes to ResourceSlices, by operation.", ("operation",)
        )
        self.vendor = VendorMetrics(driver, self.registry, _BUCKETS)
        self.errors = self._counter(
            "pydra_background_errors_total", "Errors outside of a claim, by reason.", ("reason",)
        )
        self._publishes = self._counted(
            "pydra_publishes", "1 while this instance publishes the pools of the cluster.", ()
        )
        self._add_modes()
        self._add_health()

    def _add_modes(self) -> None:
        self._modes = self._counted(
            "pydra_mode", "1 while pods of this node are served by this API.", ("api",)
        )
        self._resources = self._counted(
            "pydra_resource_registered",
            "1 while the kubelet gets this extended resource from this process.",
            ("resource",),
        )

    def _add_health(self) -> None:
        self.device_health = self._counted(
            "pydra_device_health", "Devices by what is known of their health.", ("health",)
        )
        self.health_changes = self._counter(
            "pydra_health_changes_total",
            "Changes of a device's health, by what it is since.",
            ("health",),
        )
        self.tainted = self._gauge("pydra_tainted_devices", "Devices published with a taint.")
        self.streams = self._gauge("pydra_health_streams", "Health streams the kubelet has open.")
        self.status_writes = self._counter(
            "pydra_status_writes_total",
            "Writes of devices' status to claims, by result.",
            ("reason",),
        )
        self.events = self._counter(
            "pydra_events_total",
            "Kubernetes events, by reason; `dropped` ones were too many.",
            ("reason", "result"),
        )

    def serve_cluster(self, leads: Callable[[], bool]) -> None:
        """Tell whether this instance publishes, and nothing only a process on a node knows: a zero would alarm."""
        for name in ("pydra_registered", "pydra_prepared_claims", "pydra_health_streams"):
            self._gauges[name].remove(self._driver)
        self._publishes.labels(self._driver).set_function(leads)

    def set_mode(self, *, dra: bool, device_plugin: bool) -> None:
        """Set which APIs are served on this node."""
        for api, is_served in (("dra", dra), ("device-plugin", device_plugin)):
            self._modes.labels(self._driver, api).set(int(is_served))

    def set_resource(self, resource: str, *, registered: bool | None) -> None:
        """Set whether the kubelet knows a resource; None if it is not served any more."""
        if registered is None:
            self._resources.remove(self._driver, resource)
        else:
            self._resources.labels(self._driver, resource).set(int(registered))

    def add_own(self, driver: Driver) -> None:
        """Tell the driver's own metrics as well."""
        ours = [family.name for family in self.registry.collect()]
        self.registry.register(OwnMetrics(driver, ours))

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def claim(self, operation: str, reason: str) -> None:
        """Count one claim; `reason` is empty for success or an error's constant reason."""
        self.claims.labels(self._driver, operation, reason).inc()

    def observe_call(self, method: str, seconds: float) -> None:
        """Record how long one call from the kubelet took."""
        self.calls.labels(self._driver, method).observe(seconds)

    def slice_write(self, operation: str) -> None:
        """Count one create, update or delete of a slice."""
        self.slice_writes.labels(self._driver, operation).inc()

    def background_error(self, reason: str) -> None:
        """Count one error that no claim can be blamed for."""
        self.errors.labels(self._driver, reason).inc()

    def set_health(self, counts: Mapping[Any, int]) -> None:
        """Set how many devices are healthy, unhealthy and unknown."""
        for health, count in counts.items():
            self.device_health.labels(self._driver, str(health)).set(count)

    def health_changes_of(self, health: str, count: int) -> None:
        """Count devices whose health became this."""
        self.health_changes.labels(self._driver, str(health)).inc(count)

    def status_write(self, reason: str) -> None:
        """Count one write to a claim's status; `reason` is empty for success or an error's constant reason."""
        self.status_writes.labels(self._driver, reason).inc()

    def event(self, reason: str, result: str) -> None:
        """Count one event that was `written` or `dropped`."""
        self.events.labels(self._driver, reason, result).inc()

    def _counter(self, name: str, doc: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, doc, ("driver", *labels), registry=self.registry)

    def _histogram(self, name: str, doc: str, labels: tuple[str, ...]) -> Histogram:
        return Histogram(name, doc, ("driver", *labels), registry=self.registry, buckets=_BUCKETS)

    def _counted(self, name: str, doc: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(name, doc, ("driver", *labels), registry=self.registry)

    def _gauge(self, name: str, doc: str) -> Gauge:
        gauge = self._gauges[name] = Gauge(name, doc, ("driver",), registry=self.registry)
        return gauge.labels(self._driver)
