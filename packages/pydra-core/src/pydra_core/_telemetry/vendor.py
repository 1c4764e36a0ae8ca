"""Metrics of the shield: calls into vendors' libraries, and what became of the workers that hold them.

Operations and SDK modules are names from a driver's own source, so that labels stay few.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class VendorMetrics:
    """What a shield observes of itself (`pydra_core._shield.observer.Observer`)."""

    def __init__(self, driver: str, registry: CollectorRegistry, buckets: Sequence[float]) -> None:
        self._driver = driver
        self._calls: dict[str, Histogram] = {}
        self._durations = Histogram(
            "pydra_vendor_call_duration_seconds",
            "Calls into the vendor's library, by operation; one that crashed or hung counts too.",
            ("driver", "operation"),
            registry=registry,
            buckets=buckets,
        )
        self._failures = Counter(
            "pydra_vendor_call_failures_total",
            "Calls into the vendor's library that failed, by operation and reason.",
            ("driver", "operation", "reason"),
            registry=registry,
        )
        self._restarts = Counter(
            "pydra_vendor_worker_restarts_total",
            "Workers that crashed, hung or were replaced, by SDK module and reason.",
            ("driver", "sdk", "reason"),
            registry=registry,
        )
        self._quarantined = Gauge(
            "pydra_vendor_quarantined_operations",
            "Operations refused because they keep crashing, by SDK module.",
            ("driver", "sdk"),
            registry=registry,
        )
        self._stuck = Gauge(
            "pydra_vendor_stuck_workers",
            "Workers that hang in the kernel and cannot be killed, by SDK module.",
            ("driver", "sdk"),
            registry=registry,
        )

    def vendor_call(self, operation: str, reason: str, seconds: float) -> None:
        """Record one call; `reason` is empty for success or an error's constant reason."""
        if (calls := self._calls.get(operation)) is None:
            calls = self._calls[operation] = self._durations.labels(self._driver, operation)
        calls.observe(seconds)
        if reason:
            self._failures.labels(self._driver, operation, reason).inc()

    def vendor_worker_ended(self, module: str, reason: str) -> None:
        """Count one worker that did not end with the driver."""
        self._restarts.labels(self._driver, module, reason).inc()

    def vendor_quarantined(self, module: str, operations: int) -> None:
        """Set how many operations are refused."""
        self._quarantined.labels(self._driver, module).set(operations)

    def vendor_stuck(self, module: str, change: int) -> None:
        """Count one more or one fewer worker that cannot be killed."""
        self._stuck.labels(self._driver, module).inc(change)
