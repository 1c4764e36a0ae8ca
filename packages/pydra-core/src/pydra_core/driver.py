"""The class a driver author writes; everything else in this package exists to serve it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import ClassVar

from pydra_core._shield.shield import Shield
from pydra_core._values import Claim, Inventory, Pool, PreparedClaim, PreparedDevice
from pydra_core.attributes import Schema
from pydra_core.health import DeviceHealth, HealthPolicy
from pydra_core.metrics import Metric, Sample
from pydra_core.needs import Need
from pydra_core.resources import Resource


class Driver(ABC):
    """A driver for one vendor's devices on one node.

    Contract, the same as the kubelet has with us:

    - Every method is idempotent. The same claim is prepared again after a restart of the kubelet, the driver
      or the node, possibly by another process than the one before.
    - Calls for different claims run at the same time; calls for one claim never overlap.
    - The framework has fetched and checked the claim, and holds every device of it free of other claims.
    - Whatever a method raises becomes the error of that one claim; `PydraError` texts reach the pod's events.
    - A driver never sees gRPC, the API server, CDI files, sockets, locks or retries. It touches the host only
      through `self.host`, which is `/` in production and a folder in tests.
    - A vendor's library is imported in one module only, which runs in a worker process: the driver names it with
      `Sdk` and calls it as `await self.sdk(nvml.snapshot, timeout=5)`.
    """

    name: ClassVar[str]
    """Driver name, attribute domain and CDI vendor: a DNS subdomain of at most 63 characters."""

    config: ClassVar[type | UnionType | None] = None
    """Model of this driver's opaque parameters, decoded strictly. None: none accepted.

    A `msgspec.Struct`, or a union of several that `apiVersion` and `kind` tell apart, each a field with one Literal.
    """

    attributes: ClassVar[Schema] = {}
    """What each device's attributes and capacities are: name to type and meaning. `discover` holds it to this."""

    health_policy: ClassVar[HealthPolicy] = HealthPolicy()
    """How long an observation of `watch_health` must last until it counts."""

    metrics: ClassVar[Mapping[str, Metric]] = {}
    """The driver's own metrics, by name; `samples` tells their values."""

    def __init__(self, host: Path = Path("/")) -> None:
        self.host = host
        self.sdk = Shield()
        self._on_rediscover: Callable[[], None] = lambda: None
        self._on_held: Callable[[], Awaitable[tuple[PreparedClaim, ...]]] = _none_held
        self._on_note: Callable[[Claim, PreparedDevice], Awaitable[None]] = _note_nothing

    @abstractmethod
    async def discover(self) -> Inventory:
        """Report what is there now. Pure reading, any time; the framework publishes the difference."""

    async def cluster_pools(self) -> Sequence[Pool]:
        """Report the pools that several nodes reach: a fabric's, a storage box's, a licence server's.

        They belong to no node, so one process publishes them, away from the nodes: `publish`, which calls this and
        nothing else, and `discover` is not asked for them. Each pool has a name that is unique in the cluster for
        this driver, and says who reaches it (`Pool`). What is no longer returned is deleted. Implement it only if
        there are such pools.
        """
        return ()

    @abstractmethod
    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        """Return one prepared device for each allocation of the claim: data, where the hardware allows."""

    async def unprepare(self, prepared: PreparedClaim) -> None:  # noqa: B027 (optional on purpose)
        """Undo what `prepare` changed in the hardware. Implement it only if `prepare` changes any.

        Must succeed when the device is gone, and when `prepare` was interrupted half-way: then devices have no edits,
        no state but what was noted (`note`), and those that the claim had for administration are left out, which are
        others' devices.
        """

    def changes(self, claim: Claim) -> bool:
        """Whether `prepare` would change the hardware for this claim; asked before, must be quick and pure.

        Override it in a driver whose `unprepare` has something to undo for some claims only. Where nothing is
        changed, nothing has to be on disk before, an interrupted prepare leaves nothing, and `unprepare` is not
        called. A claim for which it cannot be told is one that changes something.
        """
        del claim
        return self.changes_hardware

    def untouched(self, claim: Claim) -> bool:
        """Whether a `prepare` that just failed in this process certainly left nothing of the claim in the hardware.

        Asked after a `prepare` that would change some, as when it was refused before it began: then the claim lets
        its devices go, and nothing is undone for it later. When in doubt, no.
        """
        del claim
        return False

    async def held(self) -> tuple[PreparedClaim, ...]:
        """The claims that have devices of this node now, by the journal, and their devices without edits.

        Those that are being prepared, or whose undoing is not done, are among them: their devices may have no state,
        and the hardware may or may not be as it was to be. Admin access holds nothing. For a driver that must tell what
        it made from what others did; outside of a serving process, and in tests without one, there are none.
        """
        return await self._on_held()

    def on_held(self, callback: Callable[[], Awaitable[tuple[PreparedClaim, ...]]]) -> None:
        """Set what `held` calls. Called by the framework, once."""
        self._on_held = callback

    async def note(self, claim: Claim, device: PreparedDevice) -> None:
        """Write down, inside `prepare`, what is about to be changed of a device, so that a kill does not lose it.

        For what cannot be found out once it is changed, such as how the hardware was set before. On disk when it
        returns: whatever interrupts `prepare` from there on, `unprepare` gets the device with this state, and is called
        before the claim is prepared again. A later note of the same device takes its place, and so does what `prepare`
        returns; edits are not kept. Outside of a serving process, and in tests without one, nothing is written.

        Raises:
            HostError: the journal cannot take it, or another instance took the claim over; change nothing then.
        """
        await self._on_note(claim, device)

    def on_note(self, callback: Callable[[Claim, PreparedDevice], Awaitable[None]]) -> None:
        """Set what `note` calls. Called by the framework, once."""
        self._on_note = callback

    async def watch_health(self) -> AsyncIterator[DeviceHealth]:
        """Yield what is seen of devices' health, for as long as it can be watched. Implement it if it can.

        An async generator: yield each device once at the start and whatever is seen later, changed or not. The
        framework decides when a device counts as unhealthy and as recovered (`health_policy`), taints it, tells
        the kubelet, the claims that use it and the operator, and refuses new claims for it. When the generator
        ends or raises, nothing is known of healthy devices until it is called again, a second later.
        """
        nothing: tuple[DeviceHealth, ...] = ()
        for health in nothing:
            yield health

    def resources(self, inventory: Inventory) -> Sequence[Resource]:
        """Say under which extended resources these devices are offered to clusters without DRA.

        Implement it if the driver shall serve them: it then is a device plugin too, where an operator wants it
        (`ENABLE_DEVICE_PLUGIN`) or the cluster knows no DRA (`ENABLE_DRA`). Pure and quick; called after each
        `discover`. Each ID that a pod gets is prepared as a claim of its own, with one allocation for each device,
        `config` None, and a share ID if the ID is a share.
        """
        del inventory
        return ()

    def prefer(
        self, resource: Resource, available: Sequence[str], must_include: Sequence[str], size: int
    ) -> Sequence[str]:
        """Choose which `size` of the `available` IDs suit one container best, those of `must_include` among them.

        Implement it if it matters, as with devices that are linked to each other; else the framework keeps to one
        NUMA node, then to the order of the resource. Pure and quick: pods wait for it. It is advice, which the
        kubelet may not take.
        """
        del resource, available, size
        return must_include

    def samples(self) -> Iterable[Sample]:
        """What `metrics` count now, asked at each scrape: from what was read last, without reading anything."""
        return ()

    async def needs(self) -> Sequence[Need]:
        """Say how that stands which this driver needs beside what every driver does, for `pydra doctor`.

        Implement it if there is such a thing, as another program of the node. Called once, in a process that serves
        nothing; it changes nothing. Whatever it raises is a finding.
        """
        return ()

    def rediscover(self) -> None:
        """Ask for a fresh `discover` soon, for example on a hot-plug event. Cheap, never blocks."""
        self._on_rediscover()

    def on_rediscover(self, callback: Callable[[], None]) -> None:
        """Set what `rediscover` calls. Called by the framework, once."""
        self._on_rediscover = callback

    @property
    def has_cluster_pools(self) -> bool:
        """Whether `cluster_pools` is implemented."""
        return type(self).cluster_pools is not Driver.cluster_pools

    @property
    def watches_health(self) -> bool:
        """Whether `watch_health` is implemented."""
        return type(self).watch_health is not Driver.watch_health

    @property
    def serves_resources(self) -> bool:
        """Whether `resources` is implemented, so that clusters without DRA can be served."""
        return type(self).resources is not Driver.resources

    @property
    def has_preference(self) -> bool:
        """Whether `prefer` is implemented."""
        return type(self).prefer is not Driver.prefer

    @property
    def changes_hardware(self) -> bool:
        """Whether `unprepare` is implemented, so that an intent must be on disk before `prepare` starts."""
        return type(self).unprepare is not Driver.unprepare


async def _none_held() -> tuple[PreparedClaim, ...]:
    return ()


async def _note_nothing(claim: Claim, device: PreparedDevice) -> None:
    del claim, device
