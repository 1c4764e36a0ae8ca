"""Which devices a container gets: those it has, those an init container of its pod is done with, free ones.

Called with the manager's lock held. Words are the kubelet's, since they reach users in a refused pod's status. The
order of devices is random where the real kubelet's is (it walks over Go's sets). Where the topology manager has
chosen NUMA nodes, devices there come first.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from pydra_testbed.kubelet.deviceplugins.endpoint import PluginError
from pydra_testbed.kubelet.deviceplugins.inventory import DeviceInventory
from pydra_testbed.kubelet.deviceplugins.model import Holding
from pydra_testbed.kubelet.rpc import RpcError


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many devices of a resource for one container of a pod, from these NUMA nodes at best; None for any."""

    pod: str
    container: str
    resource: str
    count: int
    nodes: frozenset[int] | None = None


class Chooser:
    """Chooses for one node; `rng` shuffles."""

    def __init__(self, inventory: DeviceInventory, rng: random.Random) -> None:
        self._inventory = inventory
        self._rng = rng

    async def choose(
        self,
        wanted: Wanted,
        held: Holding | None,
        in_use: AbstractSet[str],
        reusable: AbstractSet[str],
    ) -> tuple[str, ...]:
        """The devices to ask the plugin for, none when the container has its devices already.

        Raises:
            PluginError: there are not enough, or the plugin's advice could not be had.
        """
        if held is not None and len(held.ids) != wanted.count:
            raise PluginError(
                f'pod "{wanted.pod}" container "{wanted.container}" changed request for resource '
                f'"{wanted.resource}" from {len(held.ids)} to {wanted.count}'
            )
        self._check(wanted.resource, set(held.ids) if held else set())
        if held is not None or wanted.count == 0:
            return ()
        chosen = self.shuffled(reusable)[: wanted.count]
        missing = wanted.count - len(chosen)
        if missing:
            free = self._inventory.healthy(wanted.resource) - in_use
            if len(free) < missing:
                raise PluginError(
                    f"requested number of devices unavailable for {wanted.resource}. "
                    f"Requested: {missing}, Available: {len(free)}"
                )
            chosen += await self._free(wanted, free, chosen)
        return tuple(chosen)

    async def _free(self, wanted: Wanted, free: AbstractSet[str], chosen: list[str]) -> list[str]:
        """As many of the free devices as are missing; all from the right NUMA nodes before any other."""
        missing = wanted.count - len(chosen)
        near = {name for name in free if self._is_near(wanted, name)}
        if missing < len(near):
            return await self._advised(wanted, near, chosen, [near])
        first = self.shuffled(near)
        if missing == len(near):
            return first
        far = free - near
        placed = {name for name in far if wanted.nodes is not None and self._nodes(wanted, name)}
        rest = await self._advised(wanted, free, [*chosen, *first], [placed, far - placed])
        return [*first, *rest]

    async def _advised(
        self,
        wanted: Wanted,
        free: AbstractSet[str],
        chosen: list[str],
        groups: Sequence[AbstractSet[str]],
    ) -> list[str]:
        """What is missing: as the plugin would have it, then from one group after the other."""
        known = {name for group in groups for name in group}
        advice = [name for name in await self._advice(wanted, free, chosen) if name in known]
        rest = [name for group in groups for name in self.shuffled(group)]
        return list(dict.fromkeys([*advice, *rest]))[: wanted.count - len(chosen)]

    def _is_near(self, wanted: Wanted, name: str) -> bool:
        return wanted.nodes is not None and not wanted.nodes.isdisjoint(self._nodes(wanted, name))

    def _nodes(self, wanted: Wanted, name: str) -> tuple[int, ...]:
        device = self._inventory.device(wanted.resource, name)
        return device.nodes if device else ()

    def shuffled(self, names: Iterable[str]) -> list[str]:
        """In an order that nobody may rely on."""
        found = sorted(names)
        self._rng.shuffle(found)
        return found

    def _check(self, resource: str, held: AbstractSet[str]) -> None:
        if not self._inventory.has(resource):
            raise PluginError(f"cannot allocate unregistered device {resource}")
        healthy = self._inventory.healthy(resource)
        if not healthy:
            raise PluginError(
                f"no healthy devices present; cannot allocate unhealthy devices {resource}"
            )
        if not healthy >= held:
            raise PluginError(
                "previously allocated devices are no longer healthy; cannot allocate unhealthy "
                f"devices {resource}"
            )

    async def _advice(
        self, wanted: Wanted, free: AbstractSet[str], chosen: list[str]
    ) -> tuple[str, ...]:
        """Asked for even when there is no choice left."""
        client = self._inventory.client(wanted.resource)
        if client is None or not client.options.get_preferred_allocation_available:
            return ()
        available = self.shuffled({*free, *chosen})
        try:
            return await client.preferred(available, chosen, wanted.count)
        except RpcError as error:
            raise PluginError(
                f"device plugin GetPreferredAllocation rpc failed with err: {error}"
            ) from error
