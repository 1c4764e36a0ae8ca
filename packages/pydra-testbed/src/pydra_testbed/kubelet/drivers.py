"""Which driver instances are registered, in which order, and which of them gets the next call.

The handler of registration type `DRAPlugin`: registration adds and removes instances, the DRA manager
asks for the one to call, the slice wiper hears when a driver became usable or lost its last
connection. Several instances of one driver are kept side by side (rolling update); the newest
connected one is called, else the newest.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

from pydra_testbed.clock import Clock
from pydra_testbed.kubelet.calls import CallObserver
from pydra_testbed.kubelet.faults import KubeletFaults
from pydra_testbed.kubelet.healthstream import HealthStreams
from pydra_testbed.kubelet.instance import DriverInstance
from pydra_testbed.kubelet.link import DriverLink
from pydra_testbed.kubelet.services import SERVICES, DraService
from pydra_testbed.runtime.waiting import cancel_all

_log = logging.getLogger(__name__)


class UsabilityListener(Protocol):
    """Hears about drivers as a whole, not about instances."""

    def usable(self, driver: str) -> None:
        """At least one instance is connected."""

    def unusable(self, driver: str) -> None:
        """No instance is connected any more, or not yet."""


class RegistrationError(Exception):
    """A driver was refused, in the kubelet's words."""


class DriverNotRegisteredError(Exception):
    """No instance of the driver is registered on this node."""

    def __init__(self, driver: str) -> None:
        super().__init__(
            f"DRA driver {driver} is not registered" if driver else "DRA driver name is empty"
        )


class DriverRegistry:
    """The registered instances of all DRA drivers of one node."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        clock: Clock,
        observer: CallObserver,
        timeout: float,
        listener: UsabilityListener,
        faults: KubeletFaults,
        streams: HealthStreams,
    ) -> None:
        self._tasks = tasks
        self._clock = clock
        self._observer = observer
        self._timeout = timeout
        self._listener = listener
        self._faults = faults
        self._streams = streams
        self._instances: dict[str, list[DriverInstance]] = {}
        self._followers: dict[DriverInstance, tuple[asyncio.Task[None], ...]] = {}

    def validate(self, name: str, endpoint: str, versions: Sequence[str]) -> None:
        """Raise `RegistrationError` when the kubelet could not talk to this driver."""
        if not name:
            raise RegistrationError("DRA driver name is empty")
        self._choose(name, endpoint, versions)

    async def register(self, name: str, endpoint: str, versions: Sequence[str]) -> None:
        """Add an instance and start connecting; raises `RegistrationError` for a taken endpoint."""
        service = self._choose(name, endpoint, versions)
        siblings = self._instances.setdefault(name, [])
        if any(sibling.endpoint == endpoint for sibling in siblings):
            raise RegistrationError(
                f"endpoint {endpoint} already registered for DRA driver plugin {name}"
            )
        link = DriverLink(endpoint, self._clock, self._observer, self._faults)
        instance = DriverInstance(name, link, service, self._timeout)
        siblings.append(instance)
        self._followers[instance] = (
            self._tasks.create_task(
                instance.follow_connection(lambda: self._connection_changed(instance))
            ),
            self._tasks.create_task(self._streams.follow(instance)),
        )
        self._changed(name)
        _log.info("driver registered", extra={"driver": name, "endpoint": endpoint})

    async def deregister(self, name: str, endpoint: str) -> None:
        """Forget an instance and close its connection; unknown ones are ignored."""
        siblings = self._instances.get(name, [])
        gone = next((one for one in siblings if one.endpoint == endpoint), None)
        if gone is None:
            return
        siblings.remove(gone)
        self._changed(name)
        _log.info("driver deregistered", extra={"driver": name, "endpoint": endpoint})
        await self._close(gone)

    def get(self, driver: str) -> DriverInstance:
        """The instance to call; raises `DriverNotRegisteredError`."""
        siblings = self._instances.get(driver)
        if not siblings:
            raise DriverNotRegisteredError(driver)
        connected = [one for one in siblings if one.connected]
        return (connected or siblings)[-1]

    async def drop(self, driver: str) -> None:
        """Cut the connections to a driver's instances, of all drivers when it is empty."""
        for instance in list(self._followers):
            if driver in {"", instance.driver}:
                await instance.drop()

    async def close(self) -> None:
        """Close every connection."""
        instances = list(self._followers)
        self._instances.clear()
        for instance in instances:
            await self._close(instance)

    async def _close(self, instance: DriverInstance) -> None:
        await cancel_all(*self._followers.pop(instance))
        self._streams.cache.clear(instance.driver)
        await instance.close()

    def _connection_changed(self, instance: DriverInstance) -> None:
        extra = {"driver": instance.driver, "endpoint": instance.endpoint}
        if instance.connected:
            _log.info("driver connected", extra=extra)
        else:
            _log.warning("driver disconnected", extra=extra)
        self._changed(instance.driver)

    def _changed(self, driver: str) -> None:
        if any(one.connected for one in self._instances.get(driver, ())):
            self._listener.usable(driver)
        else:
            self._listener.unusable(driver)

    @staticmethod
    def _choose(name: str, endpoint: str, versions: Sequence[str]) -> DraService:
        """The first of the driver's versions that the kubelet knows, not the kubelet's best."""
        for version in versions:
            if version in SERVICES:
                return SERVICES[version]
        why = (
            f"none of services supported by the plugin ({_quoted(versions)}) are supported by the "
            f"kubelet ({_quoted(SERVICES)})"
            if versions
            else "empty list of supported gRPC services (aka supported versions)"
        )
        raise RegistrationError(
            f"invalid supported gRPC versions of DRA driver plugin {name} at endpoint {endpoint}: "
            f"{why}"
        )


def _quoted(words: Iterable[str]) -> str:
    return "[" + " ".join(json.dumps(word) for word in words) + "]"
