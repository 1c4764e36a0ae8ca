"""What the driver publishes, as far as the kit chooses devices for its claims from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydra_core.quantity import Quantity, parse
from pydra_testbed.objects import KubeObject

_CounterKey = tuple[str, str, str]
_NOTHING = parse("0")


@dataclass(frozen=True, slots=True)
class Offered:
    """A published device.

    Attributes:
        pool: Its pool.
        name: Its name.
        shareable: Several claims may have it at once.
        portion: What the smallest share takes of each capacity.
        shares: Whether two such shares fit into the device.
        counters: What it takes of the pool's shared counters.
    """

    pool: str
    name: str
    shareable: bool
    portion: Mapping[str, str]
    shares: bool
    counters: Mapping[_CounterKey, Quantity]


@dataclass(frozen=True, slots=True)
class Offer:
    """All of a driver's devices that a pod without tolerations could get, and its pools' shared counters.

    `slices` are the specs it was read from.
    """

    devices: tuple[Offered, ...]
    counters: Mapping[_CounterKey, Quantity]
    slices: tuple[KubeObject, ...]

    def together(self) -> tuple[Offered, ...]:
        """As many devices as can be prepared at the same time, in the order of the slices."""
        chosen: list[Offered] = []
        left = dict(self.counters)
        for device in self.devices:
            after = {key: left.get(key, _NOTHING) - taken for key, taken in device.counters.items()}
            if all(rest.sign() >= 0 for rest in after.values()):
                left.update(after)
                chosen.append(device)
        return tuple(chosen)


def read_offer(slices: Iterable[KubeObject]) -> Offer:
    """Read the slices of one driver on one node."""
    specs = [body["spec"] for body in slices]
    found = [
        _device(spec["pool"]["name"], device)
        for spec in specs
        for device in spec.get("devices") or []
        if not _is_tainted(device)
    ]
    counters = {
        (spec["pool"]["name"], group["name"], name): parse(str(counter["value"]))
        for spec in specs
        for group in spec.get("sharedCounters") or []
        for name, counter in group["counters"].items()
    }
    return Offer(tuple(found), counters, tuple(specs))


def is_complete(slices: Sequence[KubeObject]) -> bool:
    """Whether all slices of each pool's newest generation are there, and hold a device."""
    pools: dict[str, list[KubeObject]] = {}
    for body in slices:
        pools.setdefault(body["spec"]["pool"]["name"], []).append(body["spec"])
    for specs in pools.values():
        newest = max(spec["pool"]["generation"] for spec in specs)
        current = [spec for spec in specs if spec["pool"]["generation"] == newest]
        if len(current) < current[0]["pool"]["resourceSliceCount"]:
            return False
    return any(body["spec"].get("devices") for body in slices)


def _device(pool: str, body: KubeObject) -> Offered:
    capacity = body.get("capacity") or {}
    portion = {name: _portion(entry) for name, entry in capacity.items()}
    fits = all(
        (parse(str(entry["value"])) - parse(portion[name]) - parse(portion[name])).sign() >= 0
        for name, entry in capacity.items()
    )
    shareable = bool(body.get("allowMultipleAllocations"))
    counters = {
        (pool, group["counterSet"], name): parse(str(counter["value"]))
        for group in body.get("consumesCounters") or []
        for name, counter in group["counters"].items()
    }
    return Offered(pool, body["name"], shareable, portion, shareable and fits, counters)


def _portion(entry: KubeObject) -> str:
    """The least that one claim can take: KEP-5075, requestPolicy; without one it takes all."""
    policy = entry.get("requestPolicy") or {}
    if bounds := policy.get("validRange"):
        return str(bounds["min"])
    if values := policy.get("validValues"):
        return str(values[0])
    return str(policy.get("default", entry["value"]))


def _is_tainted(body: KubeObject) -> bool:
    return any(taint["effect"] != "None" for taint in body.get("taints") or [])
