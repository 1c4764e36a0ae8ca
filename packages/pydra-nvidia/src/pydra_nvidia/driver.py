"""The driver: whole GPUs and the MIG devices there are, given to claims as NVIDIA's own driver gives them."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    PydraError,
)
from pydra_core.metrics import Sample
from pydra_core.needs import Need
from pydra_core.resources import Resource
from pydra_core.sdk import MIB, Sdk
from pydra_nvidia import reading
from pydra_nvidia.blame import Blame
from pydra_nvidia.cdi.choosing import DriverEdits
from pydra_nvidia.cdi.nodes import Nodes
from pydra_nvidia.cdi.roots import Root
from pydra_nvidia.counters import METRICS
from pydra_nvidia.devices import SCHEMA, inventory
from pydra_nvidia.gpus import Gpu, Snapshot
from pydra_nvidia.links import links_seen
from pydra_nvidia.making import Making, is_made, missing
from pydra_nvidia.needs import KEEPER, held_needs, keeper_needs
from pydra_nvidia.parameters import Parameters
from pydra_nvidia.partitions import Cut
from pydra_nvidia.parts import NO_CUTS, NO_OFFERS, Part, parts
from pydra_nvidia.places import MADE
from pydra_nvidia.preferring import preferred
from pydra_nvidia.presence import UUID
from pydra_nvidia.resources import resources
from pydra_nvidia.settings import NvidiaSettings
from pydra_nvidia.shares import Offer, offer
from pydra_nvidia.sharing import asks, use
from pydra_nvidia.tenancy import Tenancy
from pydra_nvidia.using import Using
from pydra_nvidia.watching import Watching
from pydra_nvidia.xids import Xids

if TYPE_CHECKING:
    from pydra_nvidia import nvml
else:
    nvml = Sdk("pydra_nvidia.nvml", memory=512 * MIB)

_log = logging.getLogger(__name__)
_DISCOVERY = 30.0
_GONE = "is not on this node any more; delete the pod, and its next claim gets what there is"


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
        settings = self._settings
        self._driver_edits = DriverEdits(self.host, settings.cdi_hook, settings.toolkit)
        self._links: dict[str, frozenset[int]] = {}
        self._blame = Blame(self)
        self._making = Making(self)
        self._cuts: Mapping[str, Cut] = NO_CUTS
        self._offers: Mapping[str, Offer] = NO_OFFERS
        self._tenancy = Tenancy(self, settings.mps_dir) if settings.mps else None
        self._using = Using(self, self._tenancy)
        xids = Xids(settings.harmless_xids)
        self._watching = Watching(self, self._blame, xids, lambda: self._parts, self._using)

    async def discover(self) -> Inventory:
        found = await self._look()
        self._links = links_seen(found, self._links)
        return inventory(found, self._links, self._cuts, self._offers)

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        there_now = [(a, await self._part(a.device)) for a in claim.allocations]
        known = await self._using.as_before(claim, there_now)
        mps = self._tenancy is not None
        chosen = [(a, part, use(claim, a, part, mps=mps)) for a, part in known]
        await self._using.check(claim, chosen)
        wanted = [part for a, part in known if part.partition and not a.admin_access]
        root = self._root().seen
        await self._making.check(root, claim, wanted)
        prepared = []
        for allocation, part, how in chosen:
            there, made = await self._there(claim, allocation, part)
            edits = await self._edits(there)
            more, kept = await self._using.begin(root, claim, (allocation, there, how))
            prepared.append(allocation.prepared(edits + more, kept | made))
        return prepared

    def changes(self, claim: Claim) -> bool:
        """Whole GPUs are there already, and so are MIG devices, unless they are made for claims, or shared."""
        made = (not a.admin_access and is_made(a.device) for a in claim.allocations)
        return asks(claim) or (self._dynamic and any(made))

    def untouched(self, claim: Claim) -> bool:
        return self._using.untouched(claim.uid) and self._making.untouched(claim.uid)

    async def unprepare(self, prepared: PreparedClaim) -> None:
        """Each GPU for itself: one that refuses keeps no other as it is."""
        uid = prepared.ref.uid
        refusals = [err for d in prepared.devices if (err := await self._undone(uid, d))]
        if any(map(self._may_be_made, prepared.devices)):
            gpus = (self._snapshot or await self._look()).gpus
            await self._making.undo(self._root().seen, prepared, gpus, dynamic=self._dynamic)
        if refusals:
            raise refusals[0]

    async def watch_health(self) -> AsyncIterator[DeviceHealth]:
        """Read every ten seconds, and at once when a GPU reports something."""
        async for health in self._watching.run(str(self._root().seen)):
            yield health

    async def needs(self) -> Sequence[Need]:
        if self._tenancy is None:
            return ()
        found = await keeper_needs(self._settings.mps_dir)
        if any(need.fix for need in found if need.name == KEEPER):
            return found
        gpus = (await self._look()).gpus
        return (*found, *held_needs(gpus, self._settings, self._tenancy.told))

    def samples(self) -> Iterable[Sample]:
        gpus = self._snapshot.gpus if self._snapshot else ()
        return (*self._watching.samples(gpus), *self._using.samples(gpus))

    async def _look(self) -> Snapshot:
        """Ask NVML; what a GPU was that is lost now is remembered, since a claim may hold it."""
        root = self._root()
        await self._blame.acquit(str(root.seen))
        sent = await self._blame.ask(nvml.snapshot, str(root.seen), _DISCOVERY)
        found = _with_lost(reading.snapshot(sent, self.host), self._snapshot)
        if self._snapshot is None or _faults(found) != _faults(self._snapshot):
            for index, fault in _faults(found):
                _log.warning("GPU cannot be read in full", extra={"gpu": index, "why": fault})
        await self._driver_edits.find(root, found.host.driver)
        cuts = await self._making.cuts(root.seen, found.gpus) if self._dynamic else NO_CUTS
        offers = await self._shared(found)
        self._snapshot, self._cuts, self._offers = found, cuts, offers
        self._parts = parts(found, cuts, offers)
        return found

    async def _shared(self, found: Snapshot) -> Mapping[str, Offer]:
        """How GPUs are shared, by UUID: those that are to be, and can be."""
        settings = self._settings
        gpus = [gpu for gpu in found.gpus if gpu.uuid and settings.is_shared(gpu.minor, gpu.uuid)]
        able = await self._tenancy.able(gpus) if self._tenancy else {}
        offers = {
            gpu.uuid or "": offer(gpu, settings.shares, able.get(gpu.uuid or "")) for gpu in gpus
        }
        return {uuid: known for uuid, known in offers.items() if known}

    async def _part(self, device: str) -> Part:
        """The device of that name; looked for again if it is not known, or not there any more."""
        part = self._parts.get(device)
        if part is None or not self._is_there(part):
            await self._look()
            part = self._parts.get(device)
        if part is None:
            why = (self._dynamic and missing(device, self._snapshot)) or _GONE
            raise DeviceGoneError(f"device {device}: {why}", device=device)
        return part

    def _is_there(self, part: Part) -> bool:
        return part.partition is not None or self._nodes().is_there(part.gpu, part.mig)

    async def _there(
        self, claim: Claim, allocation: Allocation, part: Part
    ) -> tuple[Part, dict[str, Any]]:
        """The device as it is, made if it has to be; and what is kept of that."""
        if part.partition is None:
            return part, {}
        if not allocation.admin_access:
            mig, made = await self._making.make(self._root().seen, claim, part)
            return dataclasses.replace(part, mig=mig), made
        await self._look()
        there = self._parts.get(allocation.device)
        if there is None or there.mig is None:
            raise DeviceGoneError(
                f"device {allocation.device}: no claim has it made, so there is nothing to look at with admin access",
                device=allocation.device,
            )
        return there, {}

    async def _edits(self, part: Part) -> ContainerEdits:
        if not self._driver_edits.found:
            await self._look()
        nodes = self._nodes()
        own = nodes.mig(part.gpu, part.mig) if part.mig else nodes.gpu(part.gpu)
        all_nodes = [*nodes.control(), *own, *nodes.channels(self._settings.imex_channels)]
        return self._driver_edits.of(part.uuid or "", nodes, all_nodes)

    async def _undone(self, uid: str, device: PreparedDevice) -> PydraError | None:
        try:
            if uuid := await self._uuid(device):
                await self._using.end(self._root().seen, uid, uuid, device)
        except PydraError as err:
            return err
        return None

    async def _uuid(self, device: PreparedDevice) -> str | None:
        """The GPU that was changed, or may have been; None for a MIG device, and for what is not there any more."""
        if device.state:
            return str(device.state[UUID])
        try:
            part = await self._part(device.device)  # at a start nothing was discovered yet
        except DeviceGoneError:
            return None
        return None if part.is_mig else part.uuid

    def _may_be_made(self, device: PreparedDevice) -> bool:
        if device.state:
            return MADE in device.state
        return self._dynamic and is_made(device.device)

    @property
    def _dynamic(self) -> bool:
        return self._settings.mig == "dynamic"

    def _nodes(self) -> Nodes:
        """`/dev` is the driver root's where that has one, else the host's."""
        root = self._root()
        has_own = root.path("dev/nvidiactl").exists()
        return Nodes(self.host, root if has_own else Root(self.host))

    def _root(self) -> Root:
        return self._settings.root(self.host)

    def resources(self, inventory: Inventory) -> Sequence[Resource]:
        """Named as NVIDIA's device plugin names them, so that pods need not change."""
        return resources(inventory)

    def prefer(
        self, resource: Resource, available: Sequence[str], must_include: Sequence[str], size: int
    ) -> Sequence[str]:
        """GPUs that are well connected, and what leaves the others so."""
        if self._snapshot is None:
            return must_include
        return preferred(resource, self._snapshot, self._parts, available, must_include, size)


def _with_lost(found: Snapshot, before: Snapshot | None) -> Snapshot:
    """GPUs that do not answer now, as they were when they did."""
    answered = [gpu for gpu in before.gpus if gpu.bus_id and _answers(gpu)] if before else []
    known = {gpu.bus_id: gpu for gpu in answered}
    gpus = tuple(
        msgspec.structs.replace(known[gpu.bus_id], index=gpu.index, faults=gpu.faults)
        if not _answers(gpu) and gpu.bus_id in known
        else gpu
        for gpu in found.gpus
    )
    return msgspec.structs.replace(found, gpus=gpus)


def _answers(gpu: Gpu) -> bool:
    return not gpu.lost and not gpu.condition.left_out


def _faults(snapshot: Snapshot) -> set[tuple[int, str]]:
    return {(gpu.index, fault) for gpu in snapshot.gpus for fault in gpu.faults}
