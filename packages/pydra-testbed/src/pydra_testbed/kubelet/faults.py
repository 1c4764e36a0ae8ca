"""Faults on demand: tests and the conformance kit make a kubelet misbehave towards its drivers.

Through `Kubelet.faults`, which may be shared by a kubelet and its successors. What happens outside the kubelet is
done from outside: a restart by ending `Kubelet.run` and starting another on the same root; a forced deletion by
deleting the pod with grace period 0; a replaced claim by deleting it and creating another under its name; a wrong
clock by `ManualClock.jump`; errors of the API server by `ApiServer.faults`.
"""

from __future__ import annotations

import errno
import os
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Act = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class CallFault:
    """What happens to one call: held back before it is sent, given up in flight, sent once more (seconds)."""

    delay: float = 0.0
    cancel_after: float | None = None
    repeat: bool = False


class KubeletFaults:
    """What goes wrong next at one kubelet. Nothing does unless a test says so.

    `method` is a gRPC method's name: GetInfo, NotifyRegistrationStatus, NodePrepareResources,
    NodeUnprepareResources, or one of a device plugin's. Of several faults planned for a method each call takes one, in order.
    """

    def __init__(self) -> None:
        self._calls: defaultdict[str, deque[CallFault]] = defaultdict(deque)
        self._full = 0
        self._drop: Act | None = None
        self._wipe: Act | None = None

    def delay(self, method: str, seconds: float, *, times: int = 1) -> None:
        """Hold back the next calls; the deadline runs meanwhile, so the driver sees less of it."""
        self._calls[method].extend([CallFault(delay=seconds)] * times)

    def cancel(self, method: str, after: float = 0.0, *, times: int = 1) -> None:
        """Give the next calls up after so many seconds; the driver sees them cancelled."""
        self._calls[method].extend([CallFault(cancel_after=after)] * times)

    def repeat(self, method: str, *, times: int = 1) -> None:
        """Send the next calls a second time once they are answered, and use the second answer."""
        self._calls[method].extend([CallFault(repeat=True)] * times)

    def fill_disk(self, *, times: int = 1) -> None:
        """Let the next writes of the kubelet's own file of claims fail for lack of space."""
        self._full += times

    async def drop_connections(self, driver: str = "") -> None:
        """Cut the connections to a driver's instances, or to all drivers'; they are opened again at once.

        With an extended resource's name, or without any, device plugins are let go: they have to register again.
        """
        if self._drop is not None:
            await self._drop(driver)

    async def wipe_slices(self, driver: str = "") -> None:
        """Delete the node's ResourceSlices now, of one driver or all, as a kubelet does when it starts."""
        if self._wipe is not None:
            await self._wipe(driver)

    def clear(self) -> None:
        """Forget everything planned."""
        self._calls.clear()
        self._full = 0

    def attach(self, drop: Act, wipe: Act) -> None:
        """Called by the kubelet that runs from now on."""
        self._drop, self._wipe = drop, wipe

    def next_call(self, method: str) -> CallFault:
        """Called for each call."""
        planned = self._calls.get(method)
        return planned.popleft() if planned else CallFault()

    def check_disk(self) -> None:
        """Called before the file of claims is written; raises `OSError`."""
        if self._full > 0:
            self._full -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
