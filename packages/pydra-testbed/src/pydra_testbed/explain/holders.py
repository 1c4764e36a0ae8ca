"""Who holds a device: which claims, and for which pods."""

from __future__ import annotations

from collections import defaultdict

from pydra_testbed.explain.model import Holders
from pydra_testbed.explain.world import World
from pydra_testbed.objects import key_of, namespace_of
from pydra_testbed.scheduler.model import DeviceId, PoolId
from pydra_testbed.scheduler.parsing import allocation_results
from pydra_testbed.scheduler.podclaims import reservations


class Register:
    """All allocations of a world, by device, and its slices; results with admin access hold nothing."""

    def __init__(self, world: World) -> None:
        self._slices = [body["spec"] for body in world.slices.values()]
        self._claims: defaultdict[DeviceId, list[str]] = defaultdict(list)
        self._pods: dict[str, tuple[str, ...]] = {}
        for claim in world.claims.values():
            names = (f"{namespace_of(claim)}/{c.get('name')}" for c in reservations(claim))
            self._pods[key_of(claim)] = tuple(names)
            for result in allocation_results(claim):
                if not result.get("adminAccess"):
                    device = DeviceId(result["driver"], result["pool"], result["device"])
                    self._claims[device].append(key_of(claim))

    def of(self, device: DeviceId) -> Holders:
        """The holders of one device."""
        claims = tuple(dict.fromkeys(self._claims.get(device, ())))
        pods = dict.fromkeys(pod for claim in claims for pod in self._pods[claim])
        return Holders(claims, tuple(pods))

    def slices(self, pool: PoolId) -> tuple[int, int]:
        """How many slices of a pool's newest generation are published, and how many there should be."""
        found = [s["pool"] for s in self._slices if (s["driver"], s["pool"]["name"]) == pool]
        newest = max(each.get("generation", 0) for each in found)
        current = [each for each in found if each.get("generation", 0) == newest]
        return len(current), int(current[0]["resourceSliceCount"])


def in_words(holders: Holders) -> str:
    """`claim a/b (pod a/c)`, several joined."""
    claims = ", ".join(holders.claims)
    what = "claim" if len(holders.claims) == 1 else "claims"
    if not holders.pods:
        return f"{what} {claims} (no pod uses it)"
    who = "pod" if len(holders.pods) == 1 else "pods"
    return f"{what} {claims} ({who} {', '.join(holders.pods)})"
