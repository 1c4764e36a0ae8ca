"""What can go wrong, sorted by who must act.

The kubelet retries everything anyway, so "temporary or permanent" would tell nobody anything. Each class
carries a constant CamelCase `reason`: the log key, the event reason and the metric label, which keeps labels
bounded. Messages start with the object and end with what to do; `fields` are what a program needs of it.
"""

from __future__ import annotations

import math
from typing import ClassVar


class PydraError(Exception):
    """Root of everything this framework raises on purpose."""

    reason: ClassVar[str] = "Error"

    def __init__(self, message: str, **fields: object) -> None:
        super().__init__(message)
        self.fields = fields

    @property
    def patience(self) -> float:
        """Seconds for which retrying inside the same call makes sense; 0 answers at once.

        The kubelet itself comes back only after 60 to 90 seconds.
        """
        return 0.0


class ConfigError(PydraError):
    """The operator must act: start-up stops with exit code 2. Fields: `key`, `source`."""

    reason = "InvalidConfiguration"


class ClaimError(PydraError):
    """The user must act: the text is shown on the pod."""

    reason = "InvalidClaim"


class ClaimNotAllocatedError(ClaimError):
    """The claim holds no allocation, or none of this driver."""

    reason = "ClaimNotAllocated"


class ClaimReplacedError(ClaimError):
    """The claim of that name has another UID than the one the kubelet asked for."""

    reason = "ClaimReplaced"


class ClaimConfigError(ClaimError):
    """Opaque parameters are invalid. Fields: `path` of the bad field."""

    reason = "InvalidClaimConfig"


class DeviceError(PydraError):
    """The hardware needs attention, one device of it. Fields: `device`."""

    reason = "DeviceError"


class DeviceGoneError(DeviceError):
    """The device is allocated but not there."""

    reason = "DeviceGone"


class DeviceBusyError(DeviceError):
    """The device is prepared for another claim: the last line of defence against giving it twice."""

    reason = "DeviceBusy"

    @property
    def patience(self) -> float:
        """A force-deleted pod's claim is unprepared late: the device is usually free moments later."""
        return 5.0


class DeviceUnhealthyError(DeviceError):
    """The device is there but must not be used."""

    reason = "DeviceUnhealthy"


class HostError(PydraError):
    """The node needs attention: permissions, a full disk, a directory, a crashed driver call."""

    reason = "HostError"


class DriverFailedError(HostError):
    """The driver's own code raised something it did not translate; the log has the trace."""

    reason = "DriverFailed"


class PrepareTimeoutError(HostError):
    """The driver has not finished within the kubelet's deadline; its work goes on."""

    reason = "PrepareTimeout"


class VendorError(HostError):
    """The vendor's library refused or failed. Raised in the SDK module, in words that say what to do."""

    reason = "VendorError"


class VendorReloadError(VendorError):
    """The library is of no use in this process any more, as NVML after its kernel module was reloaded.

    Raised in the SDK module: the shield starts a fresh worker, asks a reading operation again, and lets a
    changing one be tried again by whoever called.
    """

    reason = "VendorReload"

    @property
    def patience(self) -> float:
        """The next worker loads the library anew."""
        return 10.0


class VendorCrashedError(VendorError):
    """The worker ended under an operation. Fields: `operation`, `signal` (its name, or empty), `trace`."""

    reason = "VendorCrashed"


class VendorTimeoutError(VendorError):
    """An operation did not end in time; its worker was killed. Fields: `operation`, `seconds`, `trace`."""

    reason = "VendorTimeout"


class VendorQuarantinedError(VendorError):
    """An operation that keeps crashing is refused for a while. Fields: `operation`, `seconds` until it is tried."""

    reason = "VendorQuarantined"


class VendorStuckError(VendorError):
    """Workers hang in the kernel, so that no further one is started. Fields: `workers`."""

    reason = "VendorStuck"


class InventoryError(HostError):
    """What `discover` returned breaks a limit of the resource API. Fields: `faults`."""

    reason = "InvalidInventory"


class ApiError(PydraError):
    """The API server refused or could not be reached. Fields: `status` (0: no answer), `retry_after` seconds."""

    reason = "ApiError"

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, status=status, retry_after=retry_after)
        self.status = status
        self.retry_after = retry_after

    @property
    def patience(self) -> float:
        """No answer, throttling and server errors pass; refusals do not."""
        passing = self.status in (0, 408, 429) or self.status >= 500  # noqa: PLR2004 (HTTP)
        return math.inf if passing else 0.0


class ApiNotServedError(ApiError):
    """The API server does not serve resource.k8s.io/v1: it is older than Kubernetes 1.34, or told not to."""

    reason = "ApiNotServed"


class DroppedFieldsError(ApiError):
    """The API server stored less than was sent because a feature gate is off. Fields: `gates`."""

    reason = "DroppedFields"


class ClaimInProgressError(HostError):
    """Another instance of this driver is at work on the claim, during a rolling upgrade. Fields: `instance`."""

    reason = "ClaimInProgress"

    @property
    def patience(self) -> float:
        """It ends or its process does; either way the claim moves on."""
        return math.inf


class TransientError(PydraError):
    """Mixed into another error by a driver: it passes by itself soon, so the call is repeated inside the deadline.

    For a device that resets, a vendor's daemon that restarts: the kubelet itself would come back only after 60
    to 90 seconds. `prepare` is called again, with nothing kept of the attempt before.
    """

    reason = "Transient"

    @property
    def patience(self) -> float:
        """As long as the kubelet waits."""
        return math.inf


class TerminalError(PydraError):
    """Mixed into another error by a driver: retrying will not help, so the claim is answered at once.

    The kubelet has no word for this: the error text starts with `TerminalError:`, and the
    retries that would otherwise happen inside the call are skipped.
    """

    reason = "Terminal"
