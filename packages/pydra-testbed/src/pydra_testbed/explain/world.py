"""One reading of a cluster, from its API or from files, and the scheduler's snapshot of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydra_testbed.objects import KubeObject, key_of, name_of
from pydra_testbed.scheduler.cycle import Snapshot
from pydra_testbed.scheduler.parsing import parse_class, parse_in_use, parse_slice
from pydra_testbed.scheduler.podclaims import is_allocated
from pydra_testbed.scheduler.pools import Inventory
from pydra_testbed.scheduler.verdicts import Verdicts

Objects = Mapping[str, KubeObject]


def by_key(bodies: Iterable[KubeObject]) -> dict[str, KubeObject]:
    """Objects by `namespace/name`, or by name where they have no namespace."""
    return {key_of(body): body for body in bodies}


@dataclass(frozen=True, slots=True)
class World:
    """Every object that decides an allocation, by key; `notes` say what could not be read or is assumed.

    `namespaces` holds only what is known: a namespace that is absent may exist all the same.
    """

    nodes: Objects = field(default_factory=dict)
    slices: Objects = field(default_factory=dict)
    classes: Objects = field(default_factory=dict)
    claims: Objects = field(default_factory=dict)
    templates: Objects = field(default_factory=dict)
    pods: Objects = field(default_factory=dict)
    namespaces: Objects = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def snapshot(self) -> Snapshot:
        """What the scheduler would decide from."""
        return Snapshot(
            [self.nodes[name] for name in sorted(self.nodes)],
            self.claims,
            {name_of(body): parse_class(body) for body in self.classes.values()},
            Inventory(parse_slice(body) for body in self.slices.values()),
            parse_in_use(claim for claim in self.claims.values() if is_allocated(claim)),
            Verdicts(),
            tuple(self.pods.values()),
        )


def nodes_of_slices(slices: Iterable[KubeObject]) -> dict[str, KubeObject]:
    """Ready nodes without labels, by the names that slices are for; one node where no slice names any."""
    bodies = list(slices)
    names = {str(body["spec"]["nodeName"]) for body in bodies if body["spec"].get("nodeName")}
    if bodies and not names:
        names = {"any-node"}
    return {name: _bare_node(name) for name in sorted(names)}


def _bare_node(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
    }
