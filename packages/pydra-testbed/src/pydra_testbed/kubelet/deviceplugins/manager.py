"""The device manager: devices allocated when a pod is admitted, given to its containers at each start.

Called by the pod workers. One pod is admitted after the other, as the kubelet does, so that a plugin that answers slowly
holds up all pods of the node. Nobody tells a plugin that a device is free again: what a pod held is forgotten when the
next pod is admitted, or when somebody asks the pod-resources API.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from pydra_testbed.kubelet.deviceplugins.alignment import Aligner, Choice
from pydra_testbed.kubelet.deviceplugins.answers import CombinedAnswer, combined
from pydra_testbed.kubelet.deviceplugins.checkpoint import store
from pydra_testbed.kubelet.deviceplugins.choosing import Chooser, Wanted
from pydra_testbed.kubelet.deviceplugins.endpoint import PluginClient, PluginError
from pydra_testbed.kubelet.deviceplugins.inventory import DeviceInventory
from pydra_testbed.kubelet.deviceplugins.model import Holding, Holdings, PluginDevice
from pydra_testbed.kubelet.deviceplugins.topology import Topology
from pydra_testbed.kubelet.faults import KubeletFaults
from pydra_testbed.kubelet.podclaims import served_by_claim
from pydra_testbed.kubelet.rpc import RpcError
from pydra_testbed.objects import KubeObject, uid_of
from pydra_testbed.podlimits import is_sidecar, limits, pod_limits

_log = logging.getLogger(__name__)


class DeviceError(Exception):
    """Devices of plugins could not be allocated or started with, in the kubelet's words."""


class TopologyError(DeviceError):
    """The policy about NUMA nodes takes no pod whose devices would lie like this, in the kubelet's words."""

    def __init__(self) -> None:
        super().__init__("Resources cannot be allocated with Topology locality")


class DeviceManager:
    """Allocates the devices of one node's plugins.

    `holdings` is what an earlier kubelet left in `file`, where every change is stored. `active` names the pods that are
    not over, None while they are not all known.
    """

    def __init__(
        self,
        inventory: DeviceInventory,
        holdings: Holdings,
        file: Path,
        rng: random.Random,
        faults: KubeletFaults,
        topology: Topology,
    ) -> None:
        self.active: Callable[[], set[str] | None] = lambda: None
        self._inventory = inventory
        self._holdings = holdings
        self._file = file
        self._faults = faults
        self._chooser = Chooser(inventory, rng)
        self._aligner = Aligner(inventory, holdings, topology)
        self._admitting = asyncio.Lock()

    async def admit(self, pod: KubeObject) -> None:
        """Allocate all devices the pod's containers ask for; raises `DeviceError`, `TopologyError`."""
        async with self._admitting:
            reusable: dict[str, set[str]] = {}
            shared = self._aligned_pod(pod) if self._aligner.is_by_pod else None
            for container in pod["spec"].get("initContainers") or ():
                for holding in await self._allocate(pod, container, reusable, shared):
                    left = reusable.setdefault(holding.resource, set())
                    if is_sidecar(container):
                        left.difference_update(holding.ids)
                    else:
                        left.update(holding.ids)
            for container in pod["spec"]["containers"]:
                for holding in await self._allocate(pod, container, reusable, shared):
                    reusable.get(holding.resource, set()).difference_update(holding.ids)

    async def start(self, pod: KubeObject, container: KubeObject) -> CombinedAnswer:
        """What the container is started with; asks plugins that want to be asked before. Raises `DeviceError`.

        What it should hold and does not, because the kubelet's file was lost, is allocated now.
        """
        uid, name = uid_of(pod), str(container["name"])
        is_missing = False
        for resource, amount in limits(container).items():
            if self._is_known(resource) and amount.value():  # also what a claim serves, KEP-5004
                await self._pre_start(uid, name, resource)
                is_missing |= self._holdings.get(uid, name, resource) is None
        if is_missing and self._is_active(uid):
            async with self._admitting:
                await self._allocate(pod, container, {}, (None, True))
        return combined(self._holdings.of_container(uid, name))

    def devices(self, pod: str, container: str) -> Iterator[tuple[str, PluginDevice]]:
        """Resource and device of all that a container holds, with the device's present health."""
        for holding in self._holdings.of_container(pod, container):
            for device in holding.devices:
                now = self._inventory.device(holding.resource, device.id)
                health = now.health if now else ""
                yield holding.resource, PluginDevice(device.id, health, device.nodes)

    def allocatable(self) -> Iterator[tuple[str, PluginDevice]]:
        """Resource and device of all that can be given to pods, given or not.

        As kubelet 1.36 tells them: once for each NUMA node of a topology, so not at all for a topology without nodes.
        """
        for resource in self._inventory.names():
            for name in sorted(self._inventory.healthy(resource)):
                device = self._inventory.device(resource, name)
                if device is not None and (device.nodes or not device.has_topology):
                    yield resource, device

    def release(self) -> None:
        """Forget what pods hold that are over."""
        active = self.active()
        if active is not None:
            self._holdings.keep(active)

    def save(self) -> None:
        """Write the file; a disk that is full is logged, as nothing depends on the write."""
        try:
            self._store()
        except OSError as error:
            extra = {"file": str(self._file), "error": str(error)}
            _log.warning("device allocations not stored", extra=extra)

    def _store(self) -> None:
        names = filter(self._inventory.has, self._inventory.names())
        self._faults.check_disk()
        store(self._file, self._holdings, {name: self._inventory.healthy(name) for name in names})

    def _is_active(self, pod: str) -> bool:
        active = self.active()
        return active is None or pod in active

    def _asked_for(self, pod: KubeObject, container: KubeObject) -> Iterator[str]:
        """The resources of plugins among the container's limits; claims serve the others."""
        limits = (container.get("resources") or {}).get("limits") or {}
        for resource in limits:
            if self._is_known(resource) and not served_by_claim(pod, container, resource):
                yield resource

    def _is_known(self, resource: str) -> bool:
        """Whether a plugin has, or a pod holds, any device of it."""
        return self._inventory.has(resource) or self._holdings.knows(resource)

    def _counts(self, pod: KubeObject, container: KubeObject) -> dict[str, int]:
        asked = limits(container)
        return {name: asked[name].value() for name in self._asked_for(pod, container)}

    async def _allocate(
        self,
        pod: KubeObject,
        container: KubeObject,
        reusable: dict[str, set[str]],
        shared: Choice | None,
    ) -> list[Holding]:
        """What the container holds now, new or from before; `shared` are the NUMA nodes of the whole pod.

        It is written down once it is complete; a container that fails half way leaves that to the next list.
        """
        uid, name = uid_of(pod), str(container["name"])
        counts = self._counts(pod, container)
        self.release()
        nodes = _good(shared or self._aligner.of_container(uid, name, counts, reusable))
        is_new = False
        for resource, count in counts.items():
            wanted = Wanted(uid, name, resource, count, nodes)
            try:
                is_new |= await self._allocate_one(wanted, reusable.get(resource, set()))
            except (PluginError, RpcError) as error:
                raise DeviceError(str(error)) from error
        if is_new:
            try:
                self._store()
            except OSError as error:
                file = f'"{self._file.name}"'
                raise DeviceError(f"failed to write checkpoint file {file}: {error}") from error
        return self._holdings.of_container(uid, name)

    def _aligned_pod(self, pod: KubeObject) -> Choice:
        """The NUMA nodes of all containers' devices. Raises `TopologyError`."""
        self.release()
        containers = (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"])
        ours = {name for each in containers for name in self._asked_for(pod, each)}
        asked = {name: amount.value() for name, amount in pod_limits(pod).items() if name in ours}
        choice = self._aligner.of_pod(uid_of(pod), asked)
        _good(choice)
        return choice

    async def _allocate_one(self, wanted: Wanted, reusable: set[str]) -> bool:
        """Returns whether the container holds something new."""
        held = self._holdings.get(wanted.pod, wanted.container, wanted.resource)
        in_use = self._holdings.in_use(wanted.resource)
        names = await self._chooser.choose(wanted, held, in_use, reusable)
        if not names:
            return False
        answer = await self._client(wanted.resource).allocate(self._chooser.shuffled(names))
        known = (self._inventory.device(wanted.resource, device) for device in names)
        devices = tuple(
            old if old is not None else PluginDevice(name)
            for name, old in zip(names, known, strict=True)
        )
        raw = answer.SerializeToString(deterministic=True)
        self._holdings.add(Holding(wanted.pod, wanted.container, wanted.resource, devices, raw))
        return True

    def _client(self, resource: str) -> PluginClient:
        client = self._inventory.client(resource)
        if client is None:
            raise PluginError(f"endpoint of {resource} has been stopped")
        return client

    async def _pre_start(self, pod: str, container: str, resource: str) -> None:
        if not self._inventory.is_served(resource):
            raise DeviceError(f"endpoint not found in cache for a registered resource: {resource}")
        if not self._inventory.announces(resource):
            return
        holding = self._holdings.get(pod, container, resource)
        if holding is None:
            raise DeviceError(
                f"no devices found allocated in local cache for pod {pod}, container {container}, "
                f"resource {resource}"
            )
        try:
            await self._client(resource).pre_start(self._chooser.shuffled(holding.ids))
        except (PluginError, RpcError) as error:
            raise DeviceError(
                f"device plugin PreStartContainer rpc failed with err: {error}"
            ) from error


def _good(choice: Choice) -> frozenset[int] | None:
    nodes, is_good = choice
    if not is_good:
        raise TopologyError
    return nodes
