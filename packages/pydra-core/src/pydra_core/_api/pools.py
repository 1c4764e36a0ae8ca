"""Which pools there are, by the names the API knows them by, and who reaches them.

A node's own pool is named like the node, its further ones `<node>/<name>`: names of pools are unique per driver in
the whole cluster, and two nodes that used one would each look incomplete to the scheduler, for ever.
"""

from __future__ import annotations

from typing import Any

from pydra_core._values import Inventory, NodeRequirement, Nodes, Pool

SELECTIONS = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
"""The fields of a slice that say which nodes reach it; exactly one is set."""


def local_pools(inventory: Inventory, node: str) -> list[Pool]:
    """The pools of a node, its own first."""
    return [
        Pool(node, inventory.devices, inventory.counter_sets),
        *(
            Pool(local_name(pool.name, node), pool.devices, pool.counter_sets, pool.nodes)
            for pool in inventory.pools
        ),
    ]


def local_name(name: str, node: str) -> str:
    """How the API knows a pool of this node; without a name, the node's own."""
    return f"{node}/{name}" if name else node


def is_local(name: str, node: str) -> bool:
    """Whether a pool of the API is one of this node's."""
    return name == node or name.startswith(f"{node}/")


def selection(pool: Pool, node: str) -> dict[str, Any]:
    """The field of a slice that says which nodes reach `pool`; all nodes' own pools have `node`."""
    if node:
        return {"nodeName": node}
    if pool.nodes is None:
        return {"perDeviceNodeSelection": True}
    return nodes_body(pool.nodes)


def nodes_body(nodes: Nodes) -> dict[str, Any]:
    """Spell nodes as the API does: `allNodes`, or `nodeSelector` with the one term it may have."""
    wishes = [NodeRequirement(k, "In", (v,)) for k, v in sorted(nodes.labels.items())]
    term: dict[str, Any] = {}
    if expressions := [_expression(wish) for wish in (*wishes, *nodes.requirements)]:
        term["matchExpressions"] = expressions
    if nodes.name:
        term["matchFields"] = [{"key": "metadata.name", "operator": "In", "values": [nodes.name]}]
    return {"nodeSelector": {"nodeSelectorTerms": [term]}} if term else {"allNodes": True}


def _expression(wish: NodeRequirement) -> dict[str, Any]:
    values = {"values": list(wish.values)} if wish.values else {}
    return {"key": wish.key, "operator": wish.operator, **values}
