"""The kit's kubelet towards device plugins (v1beta1): takes registrations, reads lists, and tells what pods hold.

`NodeKubelet` runs one beside its registry of DRA drivers; cases ask plugins for devices themselves (`plugincalls`) and
say here which pod has them. `kubelet.sock` is bound outside of the kubelet's root and linked into it, so that a new
kubelet's socket can have the inode number of the old one's: on a node it often has.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from pydra_core._proto import deviceplugin_v1beta1_pb2 as messages
from pydra_core._proto import podresources_v1_pb2 as held
from pydra_testbed.clock import ManualClock, RealClock
from pydra_testbed.kubelet import KubeletFaults, KubeletPaths
from pydra_testbed.kubelet.calls import ignore_call
from pydra_testbed.kubelet.deviceplugins.endpoint import PluginClient
from pydra_testbed.kubelet.deviceplugins.inventory import Amounts, DeviceInventory
from pydra_testbed.kubelet.deviceplugins.model import PluginDevice
from pydra_testbed.kubelet.deviceplugins.server import PluginServer
from pydra_testbed.kubelet.drivers import RegistrationError
from pydra_testbed.kubelet.unixserver import serve


@dataclass(slots=True)
class Introduction:
    """A plugin's registration: `listens` when somebody took connections behind the endpoint at that moment.

    `watched` when it came through plugins_registry. `error` is the kubelet's refusal, empty for none.
    """

    resource: str
    endpoint: str
    listens: bool
    options: tuple[bool, bool] = (False, False)
    versions: tuple[str, ...] = ()
    watched: bool = False
    error: str = ""
    done: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """What one pod has of a resource."""

    resource: str
    devices: tuple[str, ...]


class PluginKubelet:
    """Of one node, over all restarts of its kubelet; `clock` is that of the five minutes of grace alone.

    Attributes:
        introductions: All registrations so far.
        asked: How often somebody listed what pods hold.
        pods: What pods hold, by name, as cases say; the pod-resources API tells it.
        takes_calls: Whether there is a folder for device plugins at all, with a kubelet.sock.
        same_inode: Whether the next kubelet's socket gets the inode number of the last one's.
    """

    def __init__(self, root: Path, door: Path) -> None:
        self.introductions: list[Introduction] = []
        self.asked = 0
        self.pods: dict[str, Held] = {}
        self.takes_calls = True
        self.same_inode = True
        self.clock = ManualClock()
        self._folder = KubeletPaths(root).device_plugins
        self._pod_resources = KubeletPaths(root).pod_resources
        self._door = door
        self._names = itertools.count()
        self._bound: Path | None = None
        self._servers: list[Any] = []
        self._inventory = DeviceInventory(self.clock, (), _ignore)
        self._server: PluginServer | None = None
        self._heard: set[str] = set()

    async def open(self) -> None:
        """A kubelet starts: every socket in the folder goes, and a new kubelet.sock comes."""
        for entry in self._folder.iterdir():
            if entry.is_socket():
                entry.unlink(missing_ok=True)
        self._inventory = DeviceInventory(self.clock, self._inventory.names(), _ignore)
        self._server = PluginServer(
            self._folder,
            self._client,
            self._inventory.connected,
            self._inventory.listed,
            self._inventory.disconnected,
        )
        if self._bound is None:
            lister = {"List": (self._list, held.ListPodResourcesRequest.FromString)}
            socket = self._pod_resources / "kubelet.sock"
            self._servers.append(await serve("v1.PodResourcesLister", lister, socket))
        if self._bound is None or not self.same_inode:
            self._bound = await self._bind()
        if self.takes_calls:
            (self._folder / "kubelet.sock").hardlink_to(self._bound)
        else:
            shutil.rmtree(self._folder)

    async def close(self) -> None:
        """The kubelet ends; its socket file stays, as on a node."""
        server, self._server = self._server, None
        if server is not None:
            await server.close()
            for resource in self._inventory.names():
                self._inventory.disconnected(resource)

    async def end(self) -> None:
        """Close all that outlives kubelets."""
        for server in self._servers:
            if server is not None:
                await server.stop(None)

    @property
    def amounts(self) -> Mapping[str, Amounts]:
        """What the node's status would say."""
        self._inventory.expire()
        return self._inventory.amounts()

    def endpoint(self, resource: str) -> str:
        """Where the plugin of a resource listens; empty when it is gone."""
        client = self._inventory.client(resource)
        return client.endpoint if client else ""

    def reads(self, endpoint: str) -> bool:
        """Whether the kubelet still reads the list of the instance that listens there."""
        return self._server is not None and self._server.reads(endpoint)

    def devices(self, resource: str) -> dict[str, PluginDevice]:
        """The last list of a resource whose plugin is connected."""
        return {d.id: d for d in self._inventory.all(resource)} if self.endpoint(resource) else {}

    def resources(self) -> list[str]:
        """The resources that have a connected plugin which has sent devices since it registered."""
        names = self._inventory.names()
        return [n for n in names if self.endpoint(n) in self._heard and self.devices(n)]

    async def wait(self, clock_seconds: float) -> None:
        """Let time pass for the grace of resources without plugin."""
        await self.clock.advance(clock_seconds)

    def validate(self, name: str, endpoint: str, versions: Sequence[str]) -> None:
        """As the handler of registrations in plugins_registry."""
        if self._server is None:
            return
        try:
            self._server.validate(name, endpoint, versions)
        except RegistrationError as error:
            made = Introduction(name, endpoint, listens=True, watched=True, error=str(error))
            self.introductions.append(made)
            raise

    async def register(self, name: str, endpoint: str, versions: Sequence[str]) -> None:
        """As the handler of registrations in plugins_registry."""
        made = Introduction(name, endpoint, await _listens(endpoint), watched=True)
        made.versions = tuple(versions)
        self.introductions.append(made)
        if self._server is not None:
            await self._server.register(name, endpoint, versions)
            made.done = True

    async def deregister(self, name: str, endpoint: str) -> None:
        """As the handler of registrations in plugins_registry."""
        if self._server is not None:
            await self._server.deregister(name, endpoint)

    async def _bind(self) -> Path:
        """A socket of a new inode number on which registrations are taken."""
        register = {"Register": (self._called, messages.RegisterRequest.FromString)}
        socket = self._door / str(next(self._names))
        self._servers.append(await serve("v1beta1.Registration", register, socket))
        return socket

    async def _called(self, request: Any, context: Any) -> Any:
        if self._server is None:
            return await context.abort(grpc.StatusCode.UNAVAILABLE, "no kubelet runs")
        endpoint = str(self._folder / request.endpoint)
        asked = request.options
        options = (asked.pre_start_required, asked.get_preferred_allocation_available)
        made = Introduction(request.resource_name, request.endpoint, await _listens(endpoint))
        made.options, made.versions = options, (request.version,)
        self.introductions.append(made)
        answer = await self._server.called(request, _Noting(context, made))
        made.done = True
        return answer

    def _client(self, resource: str, endpoint: str) -> PluginClient:
        self._heard.discard(endpoint)
        return _Client(resource, endpoint, self._heard)

    async def _list(self, _request: Any, _context: Any) -> Any:
        """There is always some pod: a list without any would be that of a kubelet that has just started."""
        self.asked += 1
        other = held.PodResources(name="other", namespace="default")
        pods = [_pod(name, each) for name, each in self.pods.items()]
        return held.ListPodResourcesResponse(pod_resources=[other, *pods])


class _Client(PluginClient):
    """Notes in `heard` that it has sent a list."""

    def __init__(self, resource: str, endpoint: str, heard: set[str]) -> None:
        super().__init__(resource, endpoint, RealClock(), ignore_call, KubeletFaults())
        self._heard = heard

    async def lists(self) -> AsyncIterator[tuple[PluginDevice, ...]]:
        """As the kubelet reads them."""
        async for devices in super().lists():
            self._heard.add(self.endpoint)
            yield devices


class _Noting:
    """A gRPC context that notes a refusal."""

    def __init__(self, context: Any, made: Introduction) -> None:
        self._context = context
        self._made = made

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        """Refuse the call."""
        self._made.error = details
        await self._context.abort(code, details)


def _pod(name: str, each: Held) -> held.PodResources:
    device = held.ContainerDevices(resource_name=each.resource, device_ids=each.devices)
    container = held.ContainerResources(name="main", devices=[device])
    return held.PodResources(name=name, namespace="default", containers=[container])


def _ignore(_resource: str) -> None:
    """Nobody waits for news: cases look."""


async def _listens(endpoint: str) -> bool:
    """Whether somebody takes connections there now."""
    try:
        _, writer = await asyncio.open_unix_connection(endpoint)
    except OSError:
        return False
    writer.close()
    return True
