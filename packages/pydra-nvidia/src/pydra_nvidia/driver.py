"""The driver: whole GPUs and the MIG devices there are, given to claims as NVIDIA's own driver gives them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pydra_cdi import ContainerEdits
from pydra_core import (
    Allocation,
    Claim,
    DeviceGoneError,
    DeviceHealth,
    Driver,
    HealthPolicy,
    Inventory,
    PreparedClaim,
    PreparedDevice,
    Sample,
)
from pydra_core.sdk import MIB, Sdk
from pydra_nvidia import reading
from pydra_nvidia.cdi.edits import device_edits, driver_edits
from pydra_nvidia.cdi.files import find
from pydra_nvidia.cdi.nodes import Nodes
from pydra_nvidia.cdi.roots import Root
from pydra_nvidia.counters import METRICS
from pydra_nvidia.devices import SCHEMA, Part, inventory, parts
from pydra_nvidia.gpus import Snapshot
from pydra_nvidia.links import links_seen
from pydra_nvidia.parameters import Interval, Parameters
from pydra_nvidia.settings import NvidiaSettings
from pydra_nvidia.sharing import asks_time_slices, time_slice
from pydra_nvidia.time_slices import set_time_slice
from pydra_nvidia.watching import Watching
from pydra_nvidia.xids import Xids

if TYPE_CHECKING:
    from pydra_nvidia import nvml
else:
    nvml = Sdk("pydra_nvidia.nvml", memory=512 * MIB)

_log = logging.getLogger(__name__)
_DISCOVERY = 30.0
_SLICE = "timeSlice"
_UUID = "uuid"


class NvidiaDriver(Driver):
    """GPUs of one node, by NVML in a worker process; `gpu.nvidia.com`, so that claims for NVIDIA's driver fit."""

    name = "gpu.nvidia.com"
    config = Parameters
    attributes = SCHEMA
    health_policy = HealthPolicy(recovers_after=60.0)
    metrics = METRICS

    def __init__(self, host: Path | None = None) -> None:
        super().__init__(host or Path(os.environ.get("NVIDIA_HOST_ROOT") or "/"))
        self._settings = NvidiaSettings.of(os.environ)
        self._snapshot: Snapshot | None = None
        self._parts: dict[str, Part] = {}
        self._common: ContainerEdits | None = None
        self._links: dict[str, frozenset[int]] = {}
        self._watching = Watching(self, Xids(self._settings.harmless_xids), lambda: self._parts)

    async def discover(self) -> Inventory:
        found = await self._look()
        self._links = links_seen(found, self._links)
        return inventory(found, self._links)

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        chosen = [(a, await self._part(a.device)) for a in claim.allocations]
        slices = [time_slice(claim, a, part) for a, part in chosen]
        prepared = [await self._prepared(*each) for each in zip(chosen, slices, strict=True)]
        for (_, part), interval in zip(chosen, slices, strict=True):
            if interval:
                await self._take_turns(part, interval)
        return prepared

    def changes(self, claim: Claim) -> bool:
        """Whole GPUs and MIG devices are there already: only time slices change anything."""
        return asks_time_slices(claim)

    async def unprepare(self, prepared: PreparedClaim) -> None:
        for device in prepared.devices:
            if uuid := self._sliced(device):
                await set_time_slice(self._root().seen, uuid, "Default")

    async def watch_health(self) -> AsyncIterator[DeviceHealth]:
        """Read every ten seconds, and at once when a GPU reports something."""
        async for health in self._watching.run(str(self._root().seen)):
            yield health

    def samples(self) -> Iterable[Sample]:
        return self._watching.samples(self._snapshot.gpus if self._snapshot else ())

    async def _look(self) -> Snapshot:
        """Ask NVML; what a GPU was that is lost now is remembered, since a claim may hold it."""
        root = self._root()
        sent = await self.sdk(nvml.snapshot, str(root.seen), timeout=_DISCOVERY)
        found = _with_lost(reading.snapshot(sent, self.host), self._snapshot)
        if self._snapshot is None or _faults(found) != _faults(self._snapshot):
            for index, fault in _faults(found):
                _log.warning("GPU cannot be read in full", extra={"gpu": index, "why": fault})
        self._common = await asyncio.to_thread(self._driver_edits, root, found.host.driver)
        self._snapshot, self._parts = found, parts(found)
        return found

    async def _part(self, device: str) -> Part:
        """The device of that name; looked for again if it is not known, or not there any more."""
        part = self._parts.get(device)
        if part is None or not self._nodes().is_there(part.gpu, part.mig):
            await self._look()
            part = self._parts.get(device)
        if part is None:
            raise DeviceGoneError(
                f"device {device}: is not on this node any more; delete the pod, and its next claim gets what there is",
                device=device,
            )
        return part

    async def _prepared(
        self, chosen: tuple[Allocation, Part], interval: Interval | None
    ) -> PreparedDevice:
        allocation, part = chosen
        if self._common is None:
            await self._look()
        nodes = self._nodes()
        own = nodes.mig(part.gpu, part.mig) if part.mig else nodes.gpu(part.gpu)
        all_nodes = [*nodes.control(), *own, *nodes.channels(self._settings.imex_channels)]
        state = {_UUID: part.uuid} | ({_SLICE: interval} if interval else {})
        return allocation.prepared(device_edits(self._common or ContainerEdits(), all_nodes), state)

    async def _take_turns(self, part: Part, interval: Interval) -> None:
        root, uuid = self._root().seen, part.uuid or ""
        await self.sdk(nvml.set_compute_mode, str(root), uuid, "default", timeout=10)
        await set_time_slice(root, uuid, interval)

    def _sliced(self, device: PreparedDevice) -> str | None:
        """The GPU whose time slices a claim set, or may have set before it was interrupted."""
        if device.state:
            return str(device.state[_UUID]) if _SLICE in device.state else None
        part = self._parts.get(device.device)
        return part.uuid if part and not part.mig else None

    def _driver_edits(self, root: Root, version: str) -> ContainerEdits:
        host = Root(self.host)
        return driver_edits(find(root, version, host), host, self._settings.cdi_hook)

    def _nodes(self) -> Nodes:
        """`/dev` is the driver root's where that has one, else the host's."""
        root = self._root()
        has_own = root.path("dev/nvidiactl").exists()
        return Nodes(self.host, root if has_own else Root(self.host))

    def _root(self) -> Root:
        return self._settings.root(self.host)


def _with_lost(found: Snapshot, before: Snapshot | None) -> Snapshot:
    """GPUs that do not answer now, as they were when they did."""
    known = (
        {gpu.bus_id: gpu for gpu in before.gpus if gpu.bus_id and not gpu.lost} if before else {}
    )
    gpus = tuple(
        msgspec.structs.replace(known[gpu.bus_id], index=gpu.index)
        if gpu.lost and gpu.bus_id in known
        else gpu
        for gpu in found.gpus
    )
    return msgspec.structs.replace(found, gpus=gpus)


def _faults(snapshot: Snapshot) -> set[tuple[int, str]]:
    return {(gpu.index, fault) for gpu in snapshot.gpus for fault in gpu.faults}
