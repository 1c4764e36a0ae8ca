"""The scheduler's view of the cluster: API objects as they come, parsed once, handed out as snapshots."""

from __future__ import annotations

from pydra_testbed.clock import Clock
from pydra_testbed.objects import KubeObject, key_of, name_of
from pydra_testbed.reflector import Change, Reflectors
from pydra_testbed.scheduler.cycle import Snapshot
from pydra_testbed.scheduler.features import DEFAULT, Features
from pydra_testbed.scheduler.model import DeviceClass, InUse, Slice
from pydra_testbed.scheduler.parsing import add_up, parse_class, parse_holding, parse_slice
from pydra_testbed.scheduler.podclaims import is_allocated
from pydra_testbed.scheduler.pools import Inventory
from pydra_testbed.scheduler.taints import with_rules
from pydra_testbed.scheduler.verdicts import Verdicts

RESOURCES = ("pods", "resourceclaims", "resourceslices", "deviceclasses", "nodes")


def resources(features: Features) -> tuple[str, ...]:
    """What is watched: rules only with their gate."""
    return (*RESOURCES, "devicetaintrules") if features.taint_rules else RESOURCES


class ClusterView:
    """Keeps parsed slices and classes until they change."""

    def __init__(self, seen: Reflectors, clock: Clock, features: Features = DEFAULT) -> None:
        self._seen = seen
        self._clock = clock
        self._features = features
        self._slices: dict[str, tuple[KubeObject, Slice]] = {}
        self._classes: dict[str, DeviceClass] | None = None
        self._nodes: list[KubeObject] | None = None
        self._inventory: Inventory | None = None
        self._holdings: dict[str, InUse] = {}
        self._verdicts = Verdicts(features)

    def changed(self, change: Change) -> None:
        """Forget what was made from objects that are different now."""
        match change.resource:
            case "resourceclaims":
                self._holdings.pop(key_of(change.object), None)
                if change.new is not None and is_allocated(change.new):
                    self._holdings[key_of(change.new)] = parse_holding(change.new)
            case "resourceslices" | "devicetaintrules":
                self._inventory = None
            case "deviceclasses":
                self._classes = None
            case "nodes":
                self._nodes = None

    def snapshot(self) -> Snapshot:
        """What is known now."""
        if self._inventory is None:
            slices = [self._parsed(item) for item in self._seen["resourceslices"]]
            if self._features.taint_rules:
                rules = list(self._seen["devicetaintrules"])
                slices = [with_rules(item, rules) for item in slices]
            self._inventory = Inventory(slices)
            kept = self._seen["resourceslices"].objects
            self._slices = {key: found for key, found in self._slices.items() if key in kept}
        if self._classes is None:
            self._classes = {name_of(c): parse_class(c) for c in self._seen["deviceclasses"]}
        if self._nodes is None:
            self._nodes = sorted(self._seen["nodes"], key=name_of)
        claims = self._seen["resourceclaims"].objects
        return Snapshot(
            self._nodes,
            claims,
            self._classes,
            self._inventory,
            add_up(self._holdings.values()),
            self._verdicts,
            tuple(self._seen["pods"]),
            self._features,
            self._clock.now(),
        )

    def _parsed(self, item: KubeObject) -> Slice:
        known = self._slices.get(name_of(item))
        if known is None or known[0] is not item:
            known = self._slices[name_of(item)] = (item, parse_slice(item))
        return known[1]
