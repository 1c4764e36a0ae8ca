"""The testbed's kubelet: one node, its drivers, its claims and its pods.

`pydra_testbed.cluster` runs one per node. It behaves towards drivers as kubelet 1.36 does (recordings
in the tests). It leaves out: images, probes and life-cycle hooks (a running container is ready),
volumes (recorded only), pod networks (pods share the host's address) and resource limits. Of what the
topology manager aligns there are device plugins alone.
Containers outlive the kubelet; the next one on the same root takes them over.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from pydra_testbed.clock import Clock
from pydra_testbed.kubelet.calls import CallObserver, ignore_call
from pydra_testbed.kubelet.claims import ClaimCache
from pydra_testbed.kubelet.claims_file import load_claims
from pydra_testbed.kubelet.context import NodeContext
from pydra_testbed.kubelet.deviceplugins import DeviceManager, DevicePlugins, Topology
from pydra_testbed.kubelet.dra import DraManager
from pydra_testbed.kubelet.drivers import DriverRegistry
from pydra_testbed.kubelet.faults import Act, KubeletFaults
from pydra_testbed.kubelet.health import HealthCache
from pydra_testbed.kubelet.healthstream import HealthStreams
from pydra_testbed.kubelet.node import NodeReporter
from pydra_testbed.kubelet.podmanager import PodManager
from pydra_testbed.kubelet.podresources import PodResources
from pydra_testbed.kubelet.reconciler import RegistrationReconciler
from pydra_testbed.kubelet.registration import Registrar, RegistrationHandler
from pydra_testbed.kubelet.settings import KubeletPaths, KubeletSettings
from pydra_testbed.kubelet.wipe import SliceWiper
from pydra_testbed.objects import Api, Selection, uid_of
from pydra_testbed.recorder import EventRecorder
from pydra_testbed.reflector import Reflector
from pydra_testbed.runtime import Runtime
from pydra_testbed.runtime.waiting import first_of

# The registration types in plugins_registry; the kubelet's third is CSIPlugin.
_DRA_TYPE = "DRAPlugin"
_DEVICE_PLUGIN_TYPE = "DevicePlugin"
_COMPONENT = "kubelet"


@dataclass(frozen=True)
class Kubelet:
    """One node's kubelet below `root` (`/var/lib/kubelet` on a node).

    `runtime` runs the containers and knows the CDI directories. `observer` is called after each gRPC
    call to a driver. `seed` fixes jitter and the order of drivers. `faults` makes it misbehave.
    """

    api: Api
    clock: Clock
    node_name: str
    root: Path
    runtime: Runtime
    _: KW_ONLY
    address: str = "127.0.0.1"
    settings: KubeletSettings = field(default_factory=KubeletSettings)
    observer: CallObserver = ignore_call
    seed: int = 0
    faults: KubeletFaults = field(default_factory=KubeletFaults)

    async def run(self) -> None:
        """Be the node's kubelet until cancelled.

        Raises:
            ClaimsFileError: its record is damaged.
            ValueError: the settings of its topology manager do not fit the machine.
        """
        topology = Topology.of(self.settings)
        paths = KubeletPaths(self.root)
        paths.create()
        claims = ClaimCache(load_claims(paths.claims_file))
        rng = random.Random(self.seed)  # noqa: S311 jitter is no secret
        plugins = DevicePlugins(
            paths.device_plugins, self.clock, self.observer, self.faults, rng, topology
        )
        node = NodeReporter(
            self.api, self.clock, self.node_name, self.address, self.settings, plugins.amounts
        )
        async with AsyncExitStack() as closing, asyncio.TaskGroup() as tasks:
            wiper = SliceWiper(
                tasks, self.api, self.clock, self.node_name, self.settings.wipe_delay, rng
            )
            health = HealthCache(
                self.clock,
                self.settings.health_timeout,
                lambda news: pods.health_changed(news),  # noqa: PLW0108 made only below
            )
            drivers = self._drivers(tasks, wiper, health)
            self.faults.attach(_both(drivers.drop, plugins.handler.drop), wiper.wipe)
            closing.push_async_callback(drivers.close)
            context = self._context(drivers, claims, node, health, plugins.manager, rng)
            pods = PodManager(tasks, context)
            await self._open(plugins, context, pods, closing)
            await node.announce()
            tasks.create_task(node.run())
            tasks.create_task(node.follow(plugins.news))
            tasks.create_task(wiper.wipe())
            registrations = self._reconciler(drivers, plugins)
            tasks.create_task(registrations.run())
            await first_of(registrations.settled.wait(), self.clock.sleep(self.settings.pods_after))
            self._watch(tasks, pods, plugins)

    def _watch(self, tasks: asyncio.TaskGroup, pods: PodManager, plugins: DevicePlugins) -> None:
        """Hear of the node's pods; what a pod holds is let go only once all of them are known."""
        here = Selection(field_selector=f"spec.nodeName={self.node_name}")
        watched = Reflector(self.api, self.clock, "pods", pods.told, here)
        plugins.manager.active = lambda: (
            {uid_of(pod) for pod in pods.active()} if watched.synced.is_set() else None
        )
        tasks.create_task(watched.run())
        tasks.create_task(pods.sweep(watched.synced))
        tasks.create_task(pods.follow(plugins.changed))

    def _drivers(
        self, tasks: asyncio.TaskGroup, wiper: SliceWiper, health: HealthCache
    ) -> DriverRegistry:
        return DriverRegistry(
            tasks,
            self.clock,
            self.observer,
            self.settings.call_timeout,
            wiper,
            self.faults,
            HealthStreams(health, self.clock, self.settings),
        )

    async def _open(
        self,
        plugins: DevicePlugins,
        context: NodeContext,
        pods: PodManager,
        closing: AsyncExitStack,
    ) -> None:
        """Serve device plugins, and whoever asks what pods hold."""
        paths = KubeletPaths(self.root)
        closing.push_async_callback(plugins.close)
        await plugins.open()
        held = PodResources(self.clock, plugins.manager, context.dra, pods.known, pods.active)
        closing.push_async_callback(held.close)
        await held.open(paths.pod_resources)

    def _reconciler(
        self, drivers: DriverRegistry, plugins: DevicePlugins
    ) -> RegistrationReconciler:
        registry = KubeletPaths(self.root).registry
        handlers: dict[str, RegistrationHandler] = {
            _DRA_TYPE: drivers,
            _DEVICE_PLUGIN_TYPE: plugins.handler,
        }
        registrar = Registrar(self.clock, self.settings, handlers, self.observer, self.faults)
        return RegistrationReconciler(registry, registrar, self.clock, self.settings)

    def _context(
        self,
        drivers: DriverRegistry,
        claims: ClaimCache,
        node: NodeReporter,
        health: HealthCache,
        devices: DeviceManager,
        rng: random.Random,
    ) -> NodeContext:
        file = KubeletPaths(self.root).claims_file
        append = self.settings.append_devices
        dra = DraManager(self.api, drivers, claims, file, rng, self.faults, append_devices=append)
        return NodeContext(
            api=self.api,
            clock=self.clock,
            settings=self.settings,
            rng=rng,
            dra=dra,
            devices=devices,
            runtime=self.runtime,
            events=EventRecorder(self.api, self.clock, _COMPONENT, self.node_name),
            health=health,
            address=self.address,
            labels=node.labels(),
        )


def _both(first: Act, second: Act) -> Act:
    async def act(name: str) -> None:
        await first(name)
        await second(name)

    return act
