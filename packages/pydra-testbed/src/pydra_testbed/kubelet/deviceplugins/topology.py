"""The topology manager, as far as device plugins are concerned: which NUMA nodes devices shall come from.

The manager asks here before it allocates, for each container, or once for the whole pod (scope `pod`). Rules are kubelet
1.36's (KEP-693, KEP-3545): each resource says which sets of nodes would do and which are the smallest possible, all
resources' sets are cut with each other, and the policy says whether the best cut is good enough. Devices of plugins
alone have a say: the testbed's kubelet gives no CPUs and no memory exclusively.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pydra_testbed.kubelet.deviceplugins.model import PluginDevice
from pydra_testbed.kubelet.settings import KubeletSettings, TopologyPolicy, TopologyScope

_LEAST_MAX_NODES = 8


@dataclass(frozen=True, slots=True)
class Topology:
    """What the kubelet is told about NUMA nodes: policy, scope, the machine's nodes.

    `distances` between nodes count where given (`prefer-closest-numa-nodes`).
    """

    policy: TopologyPolicy = TopologyPolicy.NONE
    machine: tuple[int, ...] = (0,)
    scope: TopologyScope = TopologyScope.CONTAINER
    distances: tuple[tuple[int, ...], ...] = ()

    @property
    def is_by_pod(self) -> bool:
        """Whether nodes are chosen once for all containers of a pod; policy `none` knows no scope."""
        return self.scope is TopologyScope.POD and self.policy is not TopologyPolicy.NONE

    @classmethod
    def of(cls, settings: KubeletSettings) -> Topology:
        """As the kubelet is set; raises `ValueError` where kubelet 1.36 would not start, in its words."""
        most, distances = settings.max_numa_nodes, settings.numa_distances
        if settings.topology_policy is TopologyPolicy.NONE:
            return cls()
        if most < _LEAST_MAX_NODES:
            option = '"max-allowable-numa-nodes"'
            raise ValueError(f"the minimum value of {option} should not be less than 8")
        if settings.numa_nodes > most:
            raise ValueError(f"unsupported on machines with more than {most} NUMA Nodes")
        if distances and {len(distances), *map(len, distances)} != {settings.numa_nodes}:
            raise ValueError(
                f"numa_distances: not a row and a column for each of {settings.numa_nodes} nodes"
            )
        machine = tuple(range(settings.numa_nodes))
        return cls(settings.topology_policy, machine, settings.topology_scope, distances)


@dataclass(frozen=True, slots=True)
class Hint:
    """A set of NUMA nodes that would do, None for any; `preferred` when no smaller one could ever do."""

    nodes: frozenset[int] | None
    preferred: bool


def hints(
    devices: Mapping[str, PluginDevice],
    available: Collection[str],
    reusable: Collection[str],
    count: int,
    machine: Sequence[int],
) -> list[Hint]:
    """What one resource says of `count` of its devices; `machine` are the machine's nodes."""
    if not any(device.nodes for device in devices.values()):
        return [Hint(None, preferred=True)]
    if len({*available, *reusable}) < count:
        return [Hint(None, preferred=False)]
    masks = [frozenset(mask) for mask in _subsets(machine)]
    least = len(machine)
    found: list[frozenset[int]] = []
    for mask in masks:
        if sum(not mask.isdisjoint(device.nodes) for device in devices.values()) >= count:
            least = min(least, len(mask))
        bound = [devices[name].nodes for name in reusable if name in devices]
        bound = [nodes for nodes in bound if nodes]
        if any(mask.isdisjoint(nodes) for nodes in bound):
            continue
        here = (name for name in available if not mask.isdisjoint(devices[name].nodes))
        if len(bound) + len(list(here)) >= count:
            found.append(mask)
    return [Hint(mask, len(mask) == least) for mask in found] or [Hint(None, preferred=False)]


def chosen(
    topology: Topology, resources: Iterable[Sequence[Hint]]
) -> tuple[frozenset[int] | None, bool]:
    """The nodes the devices shall come from, None for any; and whether the policy takes the pod at all."""
    policy = topology.policy
    if policy is TopologyPolicy.NONE:
        return None, True
    every = frozenset(topology.machine)
    asked = [list(each) for each in resources]
    is_single = policy is TopologyPolicy.SINGLE_NUMA_NODE
    if is_single:
        asked = [
            [h for h in each if h.preferred and (h.nodes is None or len(h.nodes) == 1)]
            for each in asked
        ]
    best = _best(asked, every, () if is_single else topology.distances)
    nodes = None if is_single and best.nodes == every else best.nodes
    return nodes, best.preferred or policy is TopologyPolicy.BEST_EFFORT


def _subsets(machine: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for size in range(1, len(machine) + 1):
        yield from itertools.combinations(sorted(machine), size)


def _best(
    asked: Sequence[Sequence[Hint]], every: frozenset[int], distances: Sequence[Sequence[int]]
) -> Hint:
    """The best of all cuts; all nodes, and not preferred, when every cut is empty."""
    smallest = [min((len(h.nodes) for h in each if h.nodes), default=0) for each in asked]
    aim = max(smallest, default=0)
    best: Hint | None = None
    for combination in itertools.product(*asked):
        best = _better(best, _cut(combination, every), aim, distances)
    return best or Hint(every, preferred=False)


def _cut(combination: Sequence[Hint], every: frozenset[int]) -> Hint:
    named = [hint.nodes for hint in combination if hint.nodes is not None]
    preferred = all(hint.preferred for hint in combination) and len(set(named)) <= 1
    return Hint(reduce(frozenset.intersection, named, every), preferred)


def _better(
    best: Hint | None, other: Hint, aim: int, distances: Sequence[Sequence[int]]
) -> Hint | None:
    """Preferred before not; then the narrower. Among those not preferred, what is nearest to `aim` nodes from below."""
    if not other.nodes:
        return best
    if best is None or best.preferred != other.preferred:
        return other if best is None or other.preferred else best
    return min(best, other, key=lambda hint: _rank(hint, aim, distances))


def _rank(hint: Hint, aim: int, distances: Sequence[Sequence[int]]) -> tuple[object, ...]:
    """Of as many nodes those that are nearest to each other, where distances count; then the lowest."""
    nodes = hint.nodes or frozenset()
    value = _mean(nodes, distances), sum(1 << node for node in nodes)
    if hint.preferred:
        return len(nodes), value
    below = len(nodes) <= aim
    return not below, -len(nodes) if below else len(nodes), value


def _mean(nodes: Collection[int], distances: Sequence[Sequence[int]]) -> float:
    """From each to each, itself among them; 0 where distances do not count."""
    if not distances:
        return 0.0
    return sum(distances[a][b] for a in nodes for b in nodes) / len(nodes) ** 2
