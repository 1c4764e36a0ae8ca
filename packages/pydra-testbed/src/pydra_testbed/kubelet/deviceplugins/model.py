"""Values of the device-plugin manager: a device as its plugin lists it, and what a container holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

HEALTHY = "Healthy"
UNHEALTHY = "Unhealthy"


@dataclass(frozen=True, slots=True)
class PluginDevice:
    """One device of an extended resource; `nodes` are its NUMA nodes, empty when its plugin named none.

    `has_topology` when its plugin sent a topology at all, be it one without nodes.
    """

    id: str
    health: str = ""
    nodes: tuple[int, ...] = ()
    has_topology: bool = False


@dataclass(frozen=True, slots=True)
class Holding:
    """What one container of a pod holds of one resource; `answer` is the plugin's, serialized."""

    pod: str
    container: str
    resource: str
    devices: tuple[PluginDevice, ...]
    answer: bytes = b""

    @property
    def ids(self) -> tuple[str, ...]:
        """The IDs of the devices."""
        return tuple(device.id for device in self.devices)


class Holdings:
    """What all containers of the node hold; the order in which they got it is kept."""

    def __init__(self, holdings: Iterable[Holding] = ()) -> None:
        self._held = {(h.pod, h.container, h.resource): h for h in holdings}

    def __iter__(self) -> Iterator[Holding]:
        return iter(list(self._held.values()))

    def add(self, holding: Holding) -> None:
        """Note what a plugin allocated."""
        self._held[holding.pod, holding.container, holding.resource] = holding

    def get(self, pod: str, container: str, resource: str) -> Holding | None:
        """What a container holds of a resource."""
        return self._held.get((pod, container, resource))

    def of_container(self, pod: str, container: str) -> list[Holding]:
        """All that a container holds."""
        return [h for h in self._held.values() if (h.pod, h.container) == (pod, container)]

    def of_pod(self, pod: str, resource: str) -> set[str]:
        """The devices of a resource that any of a pod's containers holds."""
        held = (h for h in self._held.values() if (h.pod, h.resource) == (pod, resource))
        return {each for holding in held for each in holding.ids}

    def keep(self, pods: Iterable[str]) -> None:
        """Forget what all other pods hold."""
        kept = set(pods)
        self._held = {key: h for key, h in self._held.items() if h.pod in kept}

    def in_use(self, resource: str) -> set[str]:
        """The devices of a resource that somebody holds."""
        return {id for h in self._held.values() if h.resource == resource for id in h.ids}  # noqa: A001 - what a plugin calls it

    def knows(self, resource: str) -> bool:
        """Whether anybody holds some of a resource."""
        return any(holding.resource == resource for holding in self._held.values())

    def pods_with(self, resource: str, devices: Iterable[str]) -> set[str]:
        """The pods that hold one of these devices."""
        wanted = set(devices)
        return {
            h.pod for h in self._held.values() if h.resource == resource and wanted & set(h.ids)
        }


def device_of(device: Any) -> PluginDevice:
    """A device of ListAndWatch; anything but Healthy is unhealthy."""
    health = HEALTHY if device.health == HEALTHY else UNHEALTHY
    nodes = tuple(node.ID for node in device.topology.nodes)
    return PluginDevice(device.ID, health, nodes, device.HasField("topology"))
