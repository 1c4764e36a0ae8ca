"""Which extended resources this node has: what their plugins listed last, and which plugin stands behind each.

Filled by the plugin server, read by node status, allocation and the pod-resources API. A resource outlives its plugin
by five minutes: its devices are unhealthy then, counted in the capacity and not allocatable, and a plugin that comes
back finds them. After that the node has none of it; what was said of a device last is remembered for those that hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pydra_testbed.clock import Clock
from pydra_testbed.kubelet.deviceplugins.endpoint import PluginClient
from pydra_testbed.kubelet.deviceplugins.model import HEALTHY, PluginDevice

GRACE = 300.0


@dataclass(slots=True)
class _Resource:
    """One resource; `client` is None until its plugin registers with this kubelet."""

    client: PluginClient | None = None
    stopped_at: float | None = None
    listed: bool = False
    healthy: set[str] = field(default_factory=set)
    unhealthy: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of a resource the node has, and how much of that can be given to pods."""

    capacity: int = 0
    allocatable: int = 0


class DeviceInventory:
    """Resources by name; `known` are those an earlier kubelet had, empty until their plugins come back.

    `changed` is called with the resource whenever the node may have more or less of it.
    """

    def __init__(self, clock: Clock, known: Iterable[str], changed: Callable[[str], None]) -> None:
        self._clock = clock
        self._changed = changed
        now = clock.monotonic()
        self._resources = {name: _Resource(stopped_at=now, listed=True) for name in known}
        self._devices: dict[str, dict[str, PluginDevice]] = {}
        self._gone: set[str] = set()

    def connected(self, client: PluginClient) -> None:
        """A plugin answered; what was listed before stands until it lists its own."""
        known = self._resources.setdefault(client.resource, _Resource())
        known.client, known.stopped_at = client, None

    def disconnected(self, resource: str) -> None:
        """Nobody stands behind the resource any more, whichever plugin it was that ended."""
        known = self._resources.get(resource)
        if known is None:
            return
        known.unhealthy |= known.healthy
        known.healthy = set()
        known.stopped_at = self._clock.monotonic()
        self._changed(resource)

    def listed(self, resource: str, devices: Iterable[PluginDevice]) -> set[str]:
        """Take in a full list; returns the devices that are new or of other health than before."""
        known = self._resources.setdefault(resource, _Resource())
        before = self._devices.get(resource, {})
        now = self._devices[resource] = {device.id: device for device in devices}
        known.healthy = {each.id for each in now.values() if each.health == HEALTHY}
        known.unhealthy = now.keys() - known.healthy
        known.listed = True
        self._gone.discard(resource)
        self._changed(resource)
        return {
            device.id
            for device in now.values()
            if device.id not in before or before[device.id].health != device.health
        }

    def expire(self) -> bool:
        """Drop the resources whose plugins have been gone for too long; returns whether there were any."""
        now = self._clock.monotonic()
        late = [
            name
            for name, known in self._resources.items()
            if known.stopped_at is not None and now - known.stopped_at >= GRACE
        ]
        for name in late:
            del self._resources[name]
        self._gone.update(late)
        return bool(late)

    def amounts(self) -> Mapping[str, Amounts]:
        """What the node's status says of each resource; 0 of one it had once."""
        found = dict.fromkeys(sorted(self._gone), Amounts())
        for name, known in sorted(self._resources.items()):
            if known.listed:
                both = len(known.healthy | known.unhealthy)
                found[name] = Amounts(both, len(known.healthy))
        return found

    def names(self) -> list[str]:
        """The resources that are served, or were within the last five minutes."""
        return sorted(self._resources)

    def has(self, resource: str) -> bool:
        """Whether the resource is one of plugins."""
        return resource in self._resources and self._resources[resource].listed

    def is_served(self, resource: str) -> bool:
        """Whether a plugin stands behind the resource, or did so within the last five minutes."""
        return resource in self._resources

    def announces(self, resource: str) -> bool:
        """Whether the plugin that stands or stood behind the resource wants to hear of each start."""
        known = self._resources.get(resource)
        client = known.client if known else None
        return client is not None and client.options.pre_start_required

    def client(self, resource: str) -> PluginClient | None:
        """Whom to ask about a resource; None when its plugin is gone."""
        known = self._resources.get(resource)
        return known.client if known and known.stopped_at is None else None

    def healthy(self, resource: str) -> set[str]:
        """The devices that can be given to pods, given or not."""
        known = self._resources.get(resource)
        return set(known.healthy) if known else set()

    def all(self, resource: str) -> list[PluginDevice]:
        """All devices as their plugin listed them last."""
        return list(self._devices.get(resource, {}).values())

    def device(self, resource: str, name: str) -> PluginDevice | None:
        """A device as its plugin listed it last; None of one that was not in that list."""
        return self._devices.get(resource, {}).get(name)
