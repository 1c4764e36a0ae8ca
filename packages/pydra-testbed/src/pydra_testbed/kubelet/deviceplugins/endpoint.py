"""One device plugin behind its socket: what the kubelet calls on it, with the kubelet's deadlines.

Made when a plugin registers, by either way. The connection lives until the kubelet lets the plugin go; the kubelet
never opens it again by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio

from pydra_core._proto import deviceplugin_v1beta1_pb2 as messages
from pydra_testbed.clock import Clock
from pydra_testbed.kubelet.calls import CallObserver
from pydra_testbed.kubelet.deviceplugins.model import PluginDevice, device_of
from pydra_testbed.kubelet.faults import KubeletFaults
from pydra_testbed.kubelet.link import DriverLink
from pydra_testbed.kubelet.rpc import Method, RpcError

_SERVICE = "v1beta1.DevicePlugin"
OPTIONS = Method(_SERVICE, "GetDevicePluginOptions", messages.DevicePluginOptions.FromString)
LIST = Method(_SERVICE, "ListAndWatch", messages.ListAndWatchResponse.FromString)
PREFERRED = Method(
    _SERVICE, "GetPreferredAllocation", messages.PreferredAllocationResponse.FromString
)
ALLOCATE = Method(_SERVICE, "Allocate", messages.AllocateResponse.FromString)
_PRE_START = Method(_SERVICE, "PreStartContainer", messages.PreStartContainerResponse.FromString)

DIAL_TIMEOUT = 10.0
OPTIONS_TIMEOUT = 5.0
PRE_START_TIMEOUT = 30.0


class PluginError(Exception):
    """A device plugin cannot be used, in the kubelet's words."""


class PluginClient:
    """The connection to one plugin of `resource`; its `options` are what it answered, not what it registered with."""

    def __init__(
        self,
        resource: str,
        endpoint: str,
        clock: Clock,
        observer: CallObserver,
        faults: KubeletFaults,
    ) -> None:
        self.resource = resource
        self.endpoint = endpoint
        self.options = messages.DevicePluginOptions()
        self._link = DriverLink(endpoint, clock, observer, faults)
        self._link.driver = resource

    async def connect(self) -> None:
        """Dial and ask for the options; raises `PluginError`."""
        try:
            await self._link.dial(DIAL_TIMEOUT)
        except TimeoutError:
            raise PluginError("failed to dial device plugin: context deadline exceeded") from None
        except (
            grpc.aio.UsageError
        ):  # an earlier plugin's end closed this one, as it bears the same name
            raise PluginError("failed to dial device plugin: context canceled") from None
        try:
            request = messages.Empty()
            self.options = await self._link.call(OPTIONS, request, OPTIONS_TIMEOUT)
        except RpcError as error:
            raise PluginError(f"failed to get device plugin options: {error}") from error

    async def lists(self) -> AsyncIterator[tuple[PluginDevice, ...]]:
        """Each full list of devices the plugin sends, until it ends the stream; raises `RpcError`."""
        async for response in self._link.stream(LIST, messages.Empty()):
            yield tuple(map(device_of, response.devices))

    async def preferred(
        self, available: Sequence[str], included: Sequence[str], size: int
    ) -> tuple[str, ...]:
        """The plugin's advice which `size` of `available` to take; raises `RpcError`."""
        request = messages.PreferredAllocationRequest(
            container_requests=[
                messages.ContainerPreferredAllocationRequest(
                    available_deviceIDs=available,
                    must_include_deviceIDs=included,
                    allocation_size=size,
                )
            ]
        )
        answers = (await self._link.call(PREFERRED, request, None)).container_responses
        return tuple(answers[0].deviceIDs) if answers else ()

    async def allocate(self, devices: Sequence[str]) -> Any:
        """What a container gets with these devices, as the plugin's message; raises `PluginError`, `RpcError`."""
        request = messages.AllocateRequest(
            container_requests=[messages.ContainerAllocateRequest(devices_ids=devices)]
        )
        response = await self._link.call(ALLOCATE, request, None)
        if not response.container_responses:
            raise PluginError(
                f"no containers return in allocation response {str(response).strip()}"
            )
        return response.container_responses[0]

    async def pre_start(self, devices: Sequence[str]) -> None:
        """PreStartContainer, 30 s at most; raises `RpcError`."""
        request = messages.PreStartContainerRequest(devices_ids=devices)
        await self._link.call(_PRE_START, request, PRE_START_TIMEOUT)

    async def close(self) -> None:
        """Drop the connection; calls in flight are cancelled."""
        await self._link.close()
