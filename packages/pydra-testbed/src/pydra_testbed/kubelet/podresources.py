"""The pod-resources API (v1) on `pod-resources/kubelet.sock`: which pod holds which devices of this node.

Exporters ask here, and drivers in legacy mode learn from it what was freed. Answers come from the same records as the
kubelet's own decisions. CPUs and memory are left out: the testbed's kubelet gives none exclusively.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from pydra_core._proto import podresources_v1_pb2 as messages
from pydra_testbed.clock import Clock
from pydra_testbed.kubelet.deviceplugins import DeviceManager
from pydra_testbed.kubelet.deviceplugins.model import PluginDevice
from pydra_testbed.kubelet.dra import DraManager
from pydra_testbed.kubelet.unixserver import serve
from pydra_testbed.objects import KubeObject, name_of, namespace_of, uid_of
from pydra_testbed.podlimits import is_sidecar

_SERVICE = "v1.PodResourcesLister"
_PER_SECOND = 100.0
_BURST = 10.0


class PodResources:
    """Serves one node: List tells of the pods that are `active`, Get of each that is `known`, over or not."""

    def __init__(
        self,
        clock: Clock,
        devices: DeviceManager,
        dra: DraManager,
        known: Callable[[], Iterable[KubeObject]],
        active: Callable[[], Iterable[KubeObject]],
    ) -> None:
        self._clock = clock
        self._devices = devices
        self._dra = dra
        self._known = known
        self._active = active
        self._left = _BURST
        self._asked = clock.monotonic()
        self._server: grpc.aio.Server | None = None

    async def open(self, folder: Path) -> None:
        """Answer on `kubelet.sock` in `folder` from now on."""
        methods = {
            "List": (self._list, messages.ListPodResourcesRequest.FromString),
            "Get": (self._get, messages.GetPodResourcesRequest.FromString),
            "GetAllocatableResources": (
                self._allocatable,
                messages.AllocatableResourcesRequest.FromString,
            ),
        }
        self._server = await serve(_SERVICE, methods, folder / "kubelet.sock")

    async def close(self) -> None:
        """Answer no more; the socket file stays."""
        if self._server is not None:
            await self._server.stop(None)

    async def _list(self, _request: Any, context: Any) -> Any:
        await self._limit(context)
        self._devices.release()
        pods = [self._pod(pod) for pod in self._active()]
        return messages.ListPodResourcesResponse(pod_resources=pods)

    async def _get(self, request: Any, context: Any) -> Any:
        await self._limit(context)
        wanted = (request.pod_namespace, request.pod_name)
        for pod in self._known():
            if (namespace_of(pod), name_of(pod)) == wanted:
                return messages.GetPodResourcesResponse(pod_resources=self._pod(pod))
        text = f"pod {request.pod_name} in namespace {request.pod_namespace} not found"
        return await context.abort(grpc.StatusCode.UNKNOWN, text)

    async def _allocatable(self, _request: Any, context: Any) -> Any:
        await self._limit(context)
        return messages.AllocatableResourcesResponse(devices=_grouped(self._devices.allocatable()))

    async def _limit(self, context: Any) -> None:
        """100 calls a second, 10 at once, for all clients together."""
        now = self._clock.monotonic()
        self._left = min(_BURST, self._left + (now - self._asked) * _PER_SECOND)
        self._asked = now
        if self._left < 1:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "rejected by rate limit")
        self._left -= 1

    def _pod(self, pod: KubeObject) -> messages.PodResources:
        """Sidecars and containers; what an init container holds that ends is told of nobody."""
        sidecars = filter(is_sidecar, pod["spec"].get("initContainers") or ())
        return messages.PodResources(
            name=name_of(pod),
            namespace=namespace_of(pod),
            containers=[
                self._container(pod, each) for each in (*sidecars, *pod["spec"]["containers"])
            ],
        )

    def _container(self, pod: KubeObject, container: KubeObject) -> messages.ContainerResources:
        return messages.ContainerResources(
            name=container["name"],
            devices=_grouped(self._devices.devices(uid_of(pod), container["name"])),
            dynamic_resources=list(self._claims(pod, container)),
        )

    def _claims(self, pod: KubeObject, container: KubeObject) -> Iterator[messages.DynamicResource]:
        """Each claim the container uses, with all its devices, whichever request it names."""
        for record in self._dra.container_claims(pod, container):
            resources = [
                messages.ClaimResource(
                    cdi_devices=[messages.CDIDevice(name=name) for name in device.cdi_ids],
                    driver_name=driver,
                    pool_name=device.pool,
                    device_name=device.device,
                    share_id=device.share_id or None,
                )
                for driver, device in record.for_request("")
            ]
            yield messages.DynamicResource(
                claim_name=record.ref.name,
                claim_namespace=record.ref.namespace,
                claim_resources=resources,
            )


def _grouped(
    devices: Iterable[tuple[str, PluginDevice]],
) -> list[messages.ContainerDevices]:
    """An entry for each device and NUMA node, one for a device of which no node is known."""
    found = []
    for resource, device in devices:
        for node in device.nodes or (None,):
            topology = (
                None if node is None else messages.TopologyInfo(nodes=[messages.NUMANode(ID=node)])
            )
            found.append(
                messages.ContainerDevices(
                    resource_name=resource, device_ids=[device.id], topology=topology
                )
            )
    return found
