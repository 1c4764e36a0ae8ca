"""Which NUMA nodes the devices of a container, or of a whole pod, shall come from: hints from what is free now.

Called by the device manager with its lock held, before it allocates (kubelet 1.36, `GetTopologyHints` and
`GetPodTopologyHints`).
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from pydra_testbed.kubelet.deviceplugins.inventory import DeviceInventory
from pydra_testbed.kubelet.deviceplugins.model import Holdings
from pydra_testbed.kubelet.deviceplugins.topology import Hint, Topology, chosen, hints

Choice = tuple[frozenset[int] | None, bool]
"""The nodes, None for any; and whether the policy takes the pod at all."""


class Aligner:
    """Chooses NUMA nodes on one node of the cluster."""

    def __init__(self, inventory: DeviceInventory, holdings: Holdings, topology: Topology) -> None:
        self._inventory = inventory
        self._holdings = holdings
        self._topology = topology

    @property
    def is_by_pod(self) -> bool:
        """Whether nodes are chosen once for all containers of a pod."""
        return self._topology.is_by_pod

    def of_container(
        self,
        pod: str,
        name: str,
        counts: Mapping[str, int],
        reusable: Mapping[str, AbstractSet[str]],
    ) -> Choice:
        """Nodes that all resources of one container can agree on, with what init containers leave to it."""
        asked = []
        for resource, count in counts.items():
            holding = self._holdings.get(pod, name, resource)
            held = set(holding.ids) if holding else set()
            asked.append(self._hints(resource, held, reusable.get(resource, set()), count))
        return chosen(self._topology, asked)

    def of_pod(self, pod: str, counts: Mapping[str, int]) -> Choice:
        """Nodes that all resources of all containers of a pod can agree on."""
        asked = [
            self._hints(resource, self._holdings.of_pod(pod, resource), set(), count)
            for resource, count in counts.items()
        ]
        return chosen(self._topology, asked)

    def _hints(
        self, resource: str, held: AbstractSet[str], reusable: AbstractSet[str], count: int
    ) -> list[Hint]:
        """Of devices that are held already where there are some; they have to be as many as are asked for."""
        devices = {device.id: device for device in self._inventory.all(resource)}
        machine = self._topology.machine
        if held:
            return hints(devices, held if len(held) == count else (), (), count, machine)
        free = self._inventory.healthy(resource) - self._holdings.in_use(resource)
        return hints(devices, free, reusable, count, machine)
