"""What a kubelet says to a device plugin about devices, as cases say it: directly, on a connection of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydra_core._proto import deviceplugin_v1beta1_pb2 as messages
from pydra_testbed.clock import RealClock
from pydra_testbed.kubelet import KubeletFaults
from pydra_testbed.kubelet.calls import ignore_call
from pydra_testbed.kubelet.deviceplugins.endpoint import ALLOCATE, LIST, OPTIONS, PREFERRED
from pydra_testbed.kubelet.link import DriverLink


@dataclass(frozen=True, slots=True)
class Choice:
    """One question of GetPreferredAllocation."""

    available: tuple[str, ...]
    included: tuple[str, ...]
    size: int


class PluginCalls:
    """One connection; calls end after `seconds`. Every method raises `RpcError`."""

    def __init__(self, link: DriverLink, seconds: float) -> None:
        self._link = link
        self._seconds = seconds

    async def options(self) -> tuple[bool, bool]:
        """Whether it wants PreStartContainer, and has advice."""
        told = await self._link.call(OPTIONS, messages.Empty(), self._seconds)
        return told.pre_start_required, told.get_preferred_allocation_available

    async def lists(self) -> AsyncIterator[Any]:
        """ListAndWatch, message by message."""
        async for message in self._link.stream(LIST, messages.Empty()):
            yield message

    async def preferred(self, choice: Choice) -> tuple[str, ...]:
        """The devices it would rather give."""
        asked = messages.ContainerPreferredAllocationRequest(
            available_deviceIDs=choice.available,
            must_include_deviceIDs=choice.included,
            allocation_size=choice.size,
        )
        request = messages.PreferredAllocationRequest(container_requests=[asked])
        answers = (await self._link.call(PREFERRED, request, self._seconds)).container_responses
        return tuple(answers[0].deviceIDs) if answers else ()

    async def allocate(self, *containers: Sequence[str]) -> list[Any]:
        """What each container gets with these devices."""
        asked = [messages.ContainerAllocateRequest(devices_ids=each) for each in containers]
        request = messages.AllocateRequest(container_requests=asked)
        return list((await self._link.call(ALLOCATE, request, self._seconds)).container_responses)


@asynccontextmanager
async def calling(endpoint: str, seconds: float) -> AsyncIterator[PluginCalls]:
    """A connection to the plugin at `endpoint` for the block."""
    link = DriverLink(endpoint, RealClock(), ignore_call, KubeletFaults())
    try:
        yield PluginCalls(link, seconds)
    finally:
        await link.close()
