"""The kubelet of the kit: real registration and connections, and claims only when a case says so.

Parts of the testbed's kubelet without its pods: cases speak the claims' calls themselves, because they need to say
what a kubelet would not say at that moment.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pydra_testbed.clock import Clock
from pydra_testbed.conformance.limits import Limits
from pydra_testbed.conformance.plugins import PluginKubelet
from pydra_testbed.kubelet import DriverCall, KubeletFaults, KubeletPaths, KubeletSettings
from pydra_testbed.kubelet.drivers import DriverNotRegisteredError, DriverRegistry
from pydra_testbed.kubelet.health import HealthCache, resources_status
from pydra_testbed.kubelet.healthstream import HealthStreams
from pydra_testbed.kubelet.reconciler import RegistrationReconciler
from pydra_testbed.kubelet.registration import Registrar, RegistrationHandler
from pydra_testbed.kubelet.services import ClaimAnswer
from pydra_testbed.kubelet.wipe import SliceWiper
from pydra_testbed.objects import Api


@dataclass(frozen=True, slots=True)
class Registration:
    """A driver instance as it introduced itself; `socket` is where it did."""

    name: str
    endpoint: str
    versions: tuple[str, ...]
    socket: str = ""


class NodeKubelet:
    """The kubelet of one node; `run` it, cancel it and run it again as a node does. `plugins` is its legacy side."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        node: str,
        root: Path,
        limits: Limits,
        plugins: PluginKubelet,
    ) -> None:
        self.plugins = plugins
        self.faults = KubeletFaults()
        self.calls: list[DriverCall] = []
        self.instances: list[Registration] = []
        self.outages = 0
        self._api = api
        self._clock = clock
        self._node = node
        self._paths = KubeletPaths(root)
        self._settings = KubeletSettings(
            reconcile_period=limits.reconcile,
            info_timeout=limits.info,
            notify_timeout=limits.notify,
            call_timeout=limits.call,
            registration_backoff=limits.backoff,
            registration_backoff_cap=8 * limits.backoff,
        )
        self._drivers: DriverRegistry | None = None
        self._wiper: SliceWiper | None = None
        self._usable = False
        self.opened = asyncio.Event()
        self._health = HealthCache(clock, self._settings.health_timeout, lambda _: None)

    async def run(self) -> None:
        """Be the node's kubelet until cancelled."""
        self._paths.create()
        self.instances.clear()
        self._usable = False
        async with AsyncExitStack() as closing, asyncio.TaskGroup() as tasks:
            delay, rng = self._settings.wipe_delay, random.Random(0)  # noqa: S311 - jitter is no secret
            self._wiper = SliceWiper(tasks, self._api, self._clock, self._node, delay, rng)
            self._health = HealthCache(self._clock, self._settings.health_timeout, lambda _: None)
            streams = HealthStreams(self._health, self._clock, self._settings)
            timeout = self._settings.call_timeout
            self._drivers = DriverRegistry(
                tasks, self._clock, self._told, timeout, self, self.faults, streams
            )
            closing.push_async_callback(self._drivers.close)
            closing.push_async_callback(self.plugins.close)
            await self.plugins.open()
            self.opened.set()
            handlers: dict[str, RegistrationHandler] = {
                "DRAPlugin": self,
                "DevicePlugin": self.plugins,
            }
            registrar = Registrar(self._clock, self._settings, handlers, self._told, self.faults)
            registry = self._paths.registry
            reconciler = RegistrationReconciler(registry, registrar, self._clock, self._settings)
            tasks.create_task(self._wiper.wipe())
            tasks.create_task(reconciler.run())

    def connected(self, name: str) -> bool:
        """Whether a call for that driver would find a connected instance."""
        try:
            return self._drivers is not None and self._drivers.get(name).connected
        except DriverNotRegisteredError:
            return False

    def chosen(self, name: str) -> str:
        """The endpoint of the instance that the next call goes to; empty for none."""
        try:
            return self._drivers.get(name).endpoint if self._drivers else ""
        except DriverNotRegisteredError:
            return ""

    def pod_health(self, driver: str, answer: ClaimAnswer) -> list[str]:
        """What the status of a pod with that claim says of its devices (KEP-4680)."""
        devices = [(driver, device) for device in answer.devices]
        found = resources_status([{"name": "claim"}], lambda _: devices, self._health)
        return [entry["health"] for status in found for entry in status["resources"]]

    def validate(self, name: str, endpoint: str, versions: Sequence[str]) -> None:
        """As the handler of registrations."""
        self._registry.validate(name, endpoint, versions)

    async def register(self, name: str, endpoint: str, versions: Sequence[str]) -> None:
        """As the handler of registrations."""
        await self._registry.register(name, endpoint, versions)
        self.instances.append(Registration(name, endpoint, tuple(versions)))

    async def deregister(self, name: str, endpoint: str) -> None:
        """As the handler of registrations."""
        gone = [i for i in self.instances if (i.name, i.endpoint) == (name, endpoint)]
        for instance in gone:
            self.instances.remove(instance)
        await self._registry.deregister(name, endpoint)

    def usable(self, driver: str) -> None:
        """Called by the registry of drivers."""
        self._usable = True
        if self._wiper is not None:
            self._wiper.usable(driver)

    def unusable(self, driver: str) -> None:
        """Called by the registry of drivers; counts how often a usable driver stopped being so."""
        self.outages += self._usable
        self._usable = False
        if self._wiper is not None:
            self._wiper.unusable(driver)

    @property
    def _registry(self) -> DriverRegistry:
        if self._drivers is None:
            raise DriverNotRegisteredError("")
        return self._drivers

    def _told(self, call: DriverCall) -> None:
        """Confirmed: the registration socket now belongs to the instance that was added last."""
        self.calls.append(call)
        if call.method == "NotifyRegistrationStatus" and call.code == "OK" and self.instances:
            known = enumerate(self.instances)
            mine = [i for i, each in known if not each.socket and each.name == call.driver]
            for index in mine:
                self.instances[index] = replace(self.instances[index], socket=call.endpoint)
