"""What a driver calls as `self.sdk`: operations of SDK modules, each module in a worker process of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar, overload

from pydra_core._shield import wire
from pydra_core._shield.caller import Caller
from pydra_core._shield.limits import Limits
from pydra_core._shield.observer import Observer, Silence
from pydra_core._shield.streams import EventStream
from pydra_core._shield.ward import Surroundings, Ward
from pydra_core.sdk import Operation, Sdk, SdkSpec

_T = TypeVar("_T")
_USUAL = Limits()


class Shield:
    """Keeps crashes, hangs and rubbish of vendors' libraries away from the driver.

    It starts a worker at the first call of a module, on the event loop's thread, and belongs to that loop.
    """

    def __init__(self, around: Surroundings | None = None) -> None:
        self._around = around or Surroundings(_USUAL, time.monotonic)
        self._observer: Observer = Silence()
        self._wards: dict[str, Ward] = {}
        self._callers: dict[str, Caller] = {}
        self._streams: set[EventStream] = set()

    def observe(self, observer: Observer) -> None:
        """Report to `observer` from now on."""
        self._observer = observer
        for ward in self._wards.values():
            ward.observer = observer

    @overload
    def __call__(
        self, operation: Operation, /, *args: object, timeout: float = ..., **kwargs: object
    ) -> Coroutine[Any, Any, Any]: ...

    @overload
    def __call__(
        self,
        operation: Callable[..., _T],
        /,
        *args: object,
        timeout: float = ...,
        **kwargs: object,
    ) -> Coroutine[Any, Any, _T]: ...

    def __call__(
        self,
        operation: Operation | Callable[..., Any],
        /,
        *args: object,
        timeout: float = 5.0,
        **kwargs: object,
    ) -> Coroutine[Any, Any, Any]:
        """Call an operation in its worker, with arguments and result that are JSON.

        Args:
            operation: An attribute of an `Sdk`.
            args: Its arguments; one called `timeout` is handed over by position.
            timeout: Seconds the call may take, not counting the wait for calls before it.
            kwargs: More of them.

        Raises:
            PydraError: what the SDK module raised, as the same class.
            VendorError: it raised something else.
            VendorCrashedError: the worker died of it; terminal if it changes hardware. Read operations were
                tried twice.
            VendorTimeoutError: it took too long; terminal if it changes hardware.
            VendorQuarantinedError: it crashed too often.
            VendorStuckError: workers hang in the kernel.
            DriverFailedError: the SDK module has no such operation.
            TypeError: an argument is no JSON.
        """
        named = _named(operation)
        return self._caller(named.spec).call(named, args, kwargs, timeout)

    def events(
        self, operation: Operation | Callable[..., Any], /, *args: object, **kwargs: object
    ) -> EventStream:
        """Iterate over what a generator of an SDK module yields: after a crash it begins anew.

        Each stream has a worker of its own, which ends with `aclose` or with the driver. A generator that keeps
        crashing is quarantined as operations are; one that ran for a minute has a clean record again.

        Raises:
            VendorQuarantinedError: by the iteration: it crashed too often. So does the next stream of it, until it
                is tried again.
            VendorStuckError: by the iteration: workers hang in the kernel.
            DriverFailedError: by the iteration: the SDK module has no such generator.
            TypeError: an argument is no JSON.
        """
        named = _named(operation)
        frame = wire.request(named.name, args, kwargs)
        stream = EventStream(named, frame, self._ward(named.spec), self._streams.discard)
        self._streams.add(stream)
        return stream

    async def load(self, spec: SdkSpec) -> Sequence[str]:
        """Start the worker of a module if it is not there, and return the names of its operations.

        Raises what a call raises whose module cannot be loaded.
        """
        return await self._caller(spec).load()

    async def reload(self, sdk: Sdk) -> None:
        """Let the next call of that module have a fresh worker, as after a driver of the kernel was reloaded."""
        if caller := self._callers.get(sdk.spec.module):
            await caller.reload()

    async def close(self) -> None:
        """End all workers."""
        ends = [caller.close() for caller in self._callers.values()]
        ends += [stream.aclose() for stream in self._streams]
        self._callers.clear()
        await asyncio.gather(*ends)

    def _caller(self, spec: SdkSpec) -> Caller:
        if (caller := self._callers.get(spec.module)) is None:
            caller = self._callers[spec.module] = Caller(self._ward(spec))
        return caller

    def _ward(self, spec: SdkSpec) -> Ward:
        if (ward := self._wards.get(spec.module)) is None:
            ward = self._wards[spec.module] = Ward(spec, self._around, self._observer)
        return ward


def _named(operation: object) -> Operation:
    if isinstance(operation, Operation):
        return operation
    name = getattr(operation, "__qualname__", repr(operation))
    module = getattr(operation, "__module__", "your_package.sdk")
    raise TypeError(
        f"{name}: is no operation of an SDK module but the function itself, so the vendor's library is loaded in the"
        f' driver\'s process; import nothing of that module, write `Sdk("{module}")` and call its attribute'
    )
