"""The testbed's kubelet: one node, its drivers, its claims and its pods.

`pydra_testbed.cluster` runs one per node. It behaves towards drivers as kubelet 1.36 does (recordings
in the tests). It leaves out: images, probes and life-cycle hooks (a running container is ready),
sidecars (refused), volumes (recorded only), pod networks (pods share the host's address) and resource
limits. Containers outlive the kubelet; the next one on the same root takes them over.
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
from pydra_testbed.kubelet.dra import DraManager
from pydra_testbed.kubelet.drivers import DriverRegistry
from pydra_testbed.kubelet.faults import KubeletFaults
from pydra_testbed.kubelet.health import HealthCache
from pydra_testbed.kubelet.healthstream import HealthStreams
from pydra_testbed.kubelet.node import NodeReporter
from pydra_testbed.kubelet.podmanager import PodManager
from pydra_testbed.kubelet.reconciler import RegistrationReconciler
from pydra_testbed.kubelet.registration import Registrar
from pydra_testbed.kubelet.settings import KubeletPaths, KubeletSettings
from pydra_testbed.kubelet.wipe import SliceWiper
from pydra_testbed.objects import Api, Selection
from pydra_testbed.recorder import EventRecorder
from pydra_testbed.reflector import Reflector
from pydra_testbed.runtime import Runtime
from pydra_testbed.runtime.waiting import first_of

# The registration type of DRA drivers; device plugins would be another handler.
_DRA_TYPE = "DRAPlugin"
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
        """Be the node's kubelet until cancelled; raises `ClaimsFileError` if its record is damaged."""
        paths = KubeletPaths(self.root)
        paths.create()
        claims = ClaimCache(load_claims(paths.claims_file))
        node = NodeReporter(self.api, self.clock, self.node_name, self.address, self.settings)
        await node.announce()
        async with AsyncExitStack() as closing, asyncio.TaskGroup() as tasks:
            rng = random.Random(self.seed)  # noqa: S311 jitter is no secret
            wiper = SliceWiper(
                tasks, self.api, self.clock, self.node_name, self.settings.wipe_delay, rng
            )
            health = HealthCache(
                self.clock,
                self.settings.health_timeout,
                lambda news: pods.health_changed(news),  # noqa: PLW0108 made only below
            )
            drivers = DriverRegistry(
                tasks,
                self.clock,
                self.observer,
                self.settings.call_timeout,
                wiper,
                self.faults,
                HealthStreams(health, self.clock, self.settings),
            )
            self.faults.attach(drivers.drop, wiper.wipe)
            closing.push_async_callback(drivers.close)
            pods = PodManager(tasks, self._context(drivers, claims, node, health, rng))
            tasks.create_task(node.run())
            tasks.create_task(wiper.wipe())
            registrations = self._reconciler(drivers)
            tasks.create_task(registrations.run())
            await first_of(registrations.settled.wait(), self.clock.sleep(self.settings.pods_after))
            watched = Reflector(self.api, self.clock, "pods", pods.told, self._bound_here())
            tasks.create_task(watched.run())
            tasks.create_task(pods.sweep(watched.synced))

    def _bound_here(self) -> Selection:
        return Selection(field_selector=f"spec.nodeName={self.node_name}")

    def _reconciler(self, drivers: DriverRegistry) -> RegistrationReconciler:
        registry = KubeletPaths(self.root).registry
        registrar = Registrar(
            self.clock, self.settings, {_DRA_TYPE: drivers}, self.observer, self.faults
        )
        return RegistrationReconciler(registry, registrar, self.clock, self.settings)

    def _context(
        self,
        drivers: DriverRegistry,
        claims: ClaimCache,
        node: NodeReporter,
        health: HealthCache,
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
            runtime=self.runtime,
            events=EventRecorder(self.api, self.clock, _COMPONENT, self.node_name),
            health=health,
            address=self.address,
            labels=node.labels(),
        )
