"""A connection to one socket of a driver on which every call is timed and told to the observer.

Registration opens one for the length of its conversation, a driver instance keeps one while it is
registered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc

from pydra_testbed.clock import Clock
from pydra_testbed.kubelet.calls import CallObserver, ClaimRef, DriverCall
from pydra_testbed.kubelet.faults import CallFault, KubeletFaults
from pydra_testbed.kubelet.rpc import (
    LOCALHOST,
    Method,
    RpcError,
    cut_off,
    open_channel,
    server_stream,
    unary,
)
from pydra_testbed.runtime.waiting import first_of, within


class DriverLink:
    """One gRPC channel; `driver` is filled in as soon as the driver has told its name."""

    def __init__(
        self,
        endpoint: str,
        clock: Clock,
        observer: CallObserver,
        faults: KubeletFaults,
        authority: str = LOCALHOST,
    ) -> None:
        self.endpoint = endpoint
        self.driver = ""
        self._clock = clock
        self._observer = observer
        self._faults = faults
        self._authority = authority
        self._cut = asyncio.Event()
        self._channel = open_channel(endpoint, authority)

    async def dial(self, deadline: float) -> None:
        """Wait until connected; raises `TimeoutError`."""
        await within(self._clock, deadline, self._channel.channel_ready())

    async def follow(self, changed: Callable[[bool], None]) -> None:
        """Keep connecting and report each change between connected and not; runs until cancelled."""
        connected = False
        while True:
            channel = self._channel
            state = channel.get_state(try_to_connect=True)
            if (state is grpc.ChannelConnectivity.READY) is not connected:
                connected = not connected
                changed(connected)
            await first_of(self._change(channel, state), self._cut.wait())
            if channel is not self._channel:
                self._cut.clear()
                if connected:
                    connected = False
                    changed(connected)

    async def _change(self, channel: grpc.aio.Channel, state: grpc.ChannelConnectivity) -> None:
        """Wait for another state; `drop` may have closed the channel before anybody got to wait on it."""
        try:
            await channel.wait_for_state_change(state)
        except grpc.aio.UsageError:
            if channel is self._channel:
                raise

    async def drop(self) -> None:
        """Cut the connection and open another."""
        old, self._channel = self._channel, open_channel(self.endpoint, self._authority)
        self._cut.set()
        await old.close()

    async def stream(self, method: Method, request: Any) -> AsyncIterator[Any]:
        """The messages of a call without deadline; raises `RpcError`. The observer hears nothing of it."""
        async for message in server_stream(self._channel, method, request):
            yield message

    async def call(
        self, method: Method, request: Any, deadline: float | None, claims: Sequence[ClaimRef] = ()
    ) -> Any:
        """One call; `deadline` in seconds, None for none; raises `RpcError`."""
        fault = self._faults.next_call(method.name)
        if fault.delay:
            await self._clock.sleep(fault.delay)
        left = None if deadline is None else deadline - fault.delay
        response = await self._call(method, request, left, claims, fault)
        if fault.repeat:
            response = await self._call(method, request, deadline, claims, fault)
        return response

    async def _call(
        self,
        method: Method,
        request: Any,
        deadline: float | None,
        claims: Sequence[ClaimRef],
        fault: CallFault,
    ) -> Any:
        started = self._clock.monotonic()
        code, error, response = "Canceled", "", None
        try:
            call = unary(self._channel, method, request, deadline, self._clock)
            if fault.cancel_after is not None:
                call = cut_off(self._clock, fault.cancel_after, call)
            response = await call
            code = "OK"
        except RpcError as failure:
            code, error = failure.code, str(failure)
            raise
        finally:
            self._observer(
                DriverCall(
                    service=method.service,
                    method=method.name,
                    driver=self.driver or getattr(response, "name", ""),
                    endpoint=self.endpoint,
                    claims=tuple(claims),
                    started=started,
                    duration=self._clock.monotonic() - started,
                    code=code,
                    error=error,
                    claim_errors=_claim_errors(response),
                )
            )
        return response

    async def close(self) -> None:
        """Drop the connection; calls in flight are cancelled."""
        await self._channel.close()


def _claim_errors(response: Any) -> tuple[tuple[str, str], ...]:
    claims = getattr(response, "claims", None) or {}
    return tuple((uid, claims[uid].error) for uid in sorted(claims) if claims[uid].error)
