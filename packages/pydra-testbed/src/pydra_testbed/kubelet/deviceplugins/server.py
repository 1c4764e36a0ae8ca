"""How device plugins come and go: `Register` on kubelet.sock, or a socket in plugins_registry (type DevicePlugin).

Either way the kubelet dials back before it answers, asks for options, and then reads the plugin's lists until they end.
Plugins are known by their resource's name alone: a second one for the same resource takes its place, and when the
first one ends later, the kubelet lets the second one go, which has to register again. So does kubelet 1.36.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

from pydra_core._proto import deviceplugin_v1beta1_pb2 as messages
from pydra_testbed.api import is_extended_resource
from pydra_testbed.kubelet.deviceplugins.endpoint import PluginClient, PluginError
from pydra_testbed.kubelet.deviceplugins.model import PluginDevice
from pydra_testbed.kubelet.drivers import RegistrationError
from pydra_testbed.kubelet.rpc import RpcError
from pydra_testbed.runtime.waiting import cancel_all

_log = logging.getLogger(__name__)
VERSION = "v1beta1"


class PluginServer:
    """The registered plugins of one node; also the handler of registration type `DevicePlugin`.

    `connected`, `listed` and `disconnected` are told what happens to a resource.
    """

    def __init__(
        self,
        folder: Path,
        connect: Callable[[str, str], PluginClient],
        connected: Callable[[PluginClient], None],
        listed: Callable[[str, tuple[PluginDevice, ...]], object],
        disconnected: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._connect = connect
        self._connected = connected
        self._listed = listed
        self._disconnected = disconnected
        self._clients: dict[str, PluginClient] = {}
        self._tasks: dict[asyncio.Task[None], PluginClient] = {}

    async def called(self, request: Any, context: Any) -> Any:
        """Answer `Register`; returns once the plugin was dialled back."""
        try:
            _check_version(request.version)
            _check_name(request.resource_name)
            await self._take_up(request.resource_name, str(self._folder / request.endpoint))
        except RegistrationError as error:
            _log.warning("device plugin not registered", extra={"error": str(error)})
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))
        return messages.Empty()

    def validate(self, name: str, endpoint: str, versions: Sequence[str]) -> None:
        """Raise `RegistrationError` when the kubelet could not talk to this plugin; `name` is its resource."""
        del endpoint
        if VERSION not in versions:
            raise RegistrationError(
                f"manager version, {VERSION}, is not among plugin supported versions "
                f"[{' '.join(versions)}]"
            )
        try:
            _check_name(name)
        except RegistrationError as error:
            raise RegistrationError(f"invalid name of device plugin socket: {error}") from error

    async def register(self, name: str, endpoint: str, versions: Sequence[str]) -> None:
        """Take a plugin up; raises `RegistrationError`."""
        del versions
        await self._take_up(name, endpoint)

    async def deregister(self, name: str, endpoint: str) -> None:
        """Let the plugin of a resource go, whichever it is."""
        del endpoint
        await self._let_go(name)

    async def drop(self, resource: str) -> None:
        """Cut the connection to a plugin, of all when `resource` is empty; it has to register again."""
        for name in list(self._clients):
            if resource in {"", name}:
                await self._let_go(name)

    def reads(self, endpoint: str) -> bool:
        """Whether a list is still read there, be it that of a plugin whose place another has taken."""
        return any(client.endpoint == endpoint for client in self._tasks.values())

    async def close(self) -> None:
        """Close every connection."""
        clients = list(self._clients.values())
        self._clients.clear()
        await cancel_all(*self._tasks)
        for client in clients:
            await client.close()

    async def _take_up(self, resource: str, endpoint: str) -> None:
        client = self._clients[resource] = self._connect(resource, endpoint)
        try:
            await client.connect()
        except PluginError as error:
            if self._clients.get(resource) is client:
                del self._clients[resource]
            await client.close()
            raise RegistrationError(str(error)) from error
        if resource not in self._clients:  # let go, by name, before anybody got to know of it
            await client.close()
            raise RegistrationError("failed to dial device plugin: context canceled")
        self._connected(client)
        _log.info("device plugin registered", extra={"resource": resource, "endpoint": endpoint})
        task = asyncio.create_task(self._follow(client))
        self._tasks[task] = client
        task.add_done_callback(self._tasks.pop)

    async def _follow(self, client: PluginClient) -> None:
        extra = {"resource": client.resource, "endpoint": client.endpoint}
        try:
            async for devices in client.lists():
                self._listed(client.resource, devices)
            _log.info("device plugin ended its list", extra=extra)
        except RpcError as error:
            _log.info("device plugin lost", extra=extra | {"error": str(error)})
        # By name: this may be another plugin's connection, as with the real kubelet.
        await self._let_go(client.resource)
        await client.close()

    async def _let_go(self, resource: str) -> None:
        client = self._clients.pop(resource, None)
        if client is not None:
            self._disconnected(resource)
            _log.info("device plugin let go", extra={"resource": resource})
            await client.close()


def _check_version(version: str) -> None:
    if version != VERSION:
        raise RegistrationError(
            f"requested API version {json.dumps(version)} is not supported by "
            f'kubelet. Supported version is ["{VERSION}"]'
        )


def _check_name(resource: str) -> None:
    if not is_extended_resource(resource):
        raise RegistrationError(f"the ResourceName {json.dumps(resource)} is invalid")
