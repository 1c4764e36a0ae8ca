"""How one driver is registered: GetInfo, validation, the handler of its type, and the notification.

Called by the reconciler, once per registration socket that has appeared. Deadlines, order and words
are those of the kubelet's plugin manager (facts: dra 1.1; recordings in the tests).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from pydra_core._proto import pluginregistration_v1_pb2 as messages
from pydra_testbed.clock import Clock
from pydra_testbed.kubelet.calls import CallObserver
from pydra_testbed.kubelet.drivers import RegistrationError
from pydra_testbed.kubelet.faults import KubeletFaults
from pydra_testbed.kubelet.link import DriverLink
from pydra_testbed.kubelet.rpc import Method, RpcError, registration_authority
from pydra_testbed.kubelet.settings import KubeletSettings

_SERVICE = "pluginregistration.Registration"
_GET_INFO = Method(_SERVICE, "GetInfo", messages.PluginInfo.FromString)
_NOTIFY = Method(
    _SERVICE, "NotifyRegistrationStatus", messages.RegistrationStatusResponse.FromString
)


class RegistrationHandler(Protocol):
    """What one registration type (`DRAPlugin`, `DevicePlugin`) does with a driver."""

    def validate(self, name: str, endpoint: str, versions: Sequence[str]) -> None:
        """Raise `RegistrationError` to refuse."""

    async def register(self, name: str, endpoint: str, versions: Sequence[str]) -> None:
        """Take the driver up; raises `RegistrationError`."""

    async def deregister(self, name: str, endpoint: str) -> None:
        """Let the driver go."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A registration that holds: whose it is and how to end it."""

    name: str
    endpoint: str
    handler: RegistrationHandler

    async def end(self) -> None:
        """Deregister from the handler."""
        await self.handler.deregister(self.name, self.endpoint)


class Registrar:
    """Runs the registration conversation on one socket after another."""

    def __init__(
        self,
        clock: Clock,
        settings: KubeletSettings,
        handlers: Mapping[str, RegistrationHandler],
        observer: CallObserver,
        faults: KubeletFaults,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._handlers = handlers
        self._observer = observer
        self._faults = faults

    async def register(self, socket: str) -> Registered:
        """Register the driver behind `socket`; raises `RegistrationError` in the kubelet's words."""
        authority = registration_authority(socket)
        link = DriverLink(socket, self._clock, self._observer, self._faults, authority)
        try:
            await self._dial(link)
            info = await self._info(link)
            return await self._settle(link, info)
        finally:
            await link.close()

    async def _dial(self, link: DriverLink) -> None:
        try:
            await link.dial(self._settings.dial_timeout)
        except TimeoutError:
            raise RegistrationError(
                f"RegisterPlugin error -- dial failed at socket {link.endpoint}, err: failed to "
                f"dial socket {link.endpoint}, err: context deadline exceeded"
            ) from None

    async def _info(self, link: DriverLink) -> Any:
        try:
            request = messages.InfoRequest()
            return await link.call(_GET_INFO, request, self._settings.info_timeout)
        except RpcError as error:
            raise RegistrationError(
                "RegisterPlugin error -- failed to get plugin info using RPC GetInfo at socket "
                f"{link.endpoint}, err: {error}"
            ) from error

    async def _settle(self, link: DriverLink, info: Any) -> Registered:
        link.driver = info.name
        handler = self._handlers.get(info.type)
        if handler is None:
            await self._refuse(
                link,
                f"no handler registered for plugin type: {info.type} at socket {link.endpoint}",
            )
        endpoint = info.endpoint or link.endpoint
        versions = tuple(info.supported_versions)
        try:
            handler.validate(info.name, endpoint, versions)
        except RegistrationError as error:
            await self._refuse(link, f"plugin validation failed with err: {error}")
        try:
            await handler.register(info.name, endpoint, versions)
        except RegistrationError as error:
            await self._refuse(link, f"plugin registration failed with err: {error}")
        return await self._confirm(link, Registered(info.name, endpoint, handler))

    async def _refuse(self, link: DriverLink, why: str) -> NoReturn:
        text = f"RegisterPlugin error -- {why}"
        try:
            await self._notify(link, messages.RegistrationStatus(error=text))
        except RpcError as error:
            raise RegistrationError(
                f"RegisterPlugin error -- failed to send error at socket {link.endpoint}, "
                f"err: {text}: {error}"
            ) from error
        raise RegistrationError(text)

    async def _confirm(self, link: DriverLink, registered: Registered) -> Registered:
        """A driver that cannot take the good news is deregistered again."""
        try:
            await self._notify(link, messages.RegistrationStatus(plugin_registered=True))
        except RpcError as error:
            await registered.end()
            raise RegistrationError(
                "RegisterPlugin error -- failed to send registration status at socket "
                f"{link.endpoint}, err: {error}"
            ) from error
        return registered

    async def _notify(self, link: DriverLink, status: Any) -> None:
        await link.call(_NOTIFY, status, self._settings.notify_timeout)
