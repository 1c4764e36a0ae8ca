"""What all workers of one SDK module share, those for calls and those for events: quarantine, and the limit of stuck ones.

A library that crashes at the import, or hangs in the kernel, does so for whoever starts it. So who wants to start or
use a worker asks here first, and tells here what became of it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from pydra_core._shield import failures
from pydra_core._shield.breaker import Breaker
from pydra_core._shield.limits import Limits
from pydra_core._shield.observer import Observer, Silence
from pydra_core.sdk import Operation, SdkSpec

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all parts of a shield share; tests bring their own clock, and a `kill` that a hanging kernel would be."""

    limits: Limits
    now: Callable[[], float]
    kill: Callable[[int, int], None] = os.kill


class Ward:
    """The state of one SDK module. `loading` stands for its import, which is quarantined like an operation."""

    def __init__(
        self, spec: SdkSpec, around: Surroundings, observer: Observer | None = None
    ) -> None:
        self.spec = spec
        self.around = around
        self.observer = observer or Silence()
        self.loading = Operation(spec, failures.LOADING)
        self._breaker = Breaker(around.limits)
        self._stuck = 0

    def admit(self, operation: Operation) -> None:
        """Let an operation through, to a worker that is there.

        Raises:
            VendorQuarantinedError: it crashed or hung too often.
        """
        if wait := self.quarantine(operation):
            raise failures.quarantined(operation, wait)

    def admit_worker(self) -> None:
        """Let another worker start.

        Raises:
            VendorQuarantinedError: the import crashed or hung too often.
            VendorStuckError: too many workers hang in the kernel.
        """
        self.admit(self.loading)
        if self._stuck >= self.around.limits.stuck:
            raise failures.stuck(self.spec, self._stuck)

    def quarantine(self, operation: Operation) -> float:
        """Seconds for which the operation is still refused."""
        return self._breaker.wait(operation.name, self.around.now())

    def crashed(self, operation: Operation) -> None:
        """Note that it took its worker down."""
        if self._breaker.crashed(operation.name, self.around.now()):
            details = {
                "operation": str(operation),
                "seconds": round(self.quarantine(operation)),
            }
            _log.error("operation is quarantined", extra=details)
            self._tell_quarantined()

    def succeeded(self, operation: Operation) -> None:
        """Note that it did not."""
        if self._breaker.succeeded(operation.name):
            _log.info("operation is no longer quarantined", extra={"operation": str(operation)})
            self._tell_quarantined()

    def stuck(self, change: int) -> None:
        """Note so many more, or fewer, workers that cannot be killed."""
        self._stuck += change
        self.observer.vendor_stuck(self.spec.module, change)

    def _tell_quarantined(self) -> None:
        self.observer.vendor_quarantined(self.spec.module, self._breaker.quarantined)
