from __future__ import annotations

import pytest
from probe_world import ProbeWorld


@pytest.fixture
async def probe(world):
    """The node the kubelet was recorded on: same driver name, node and socket names, below a folder of ours."""
    await world.api.create(
        "nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}}
    )
    return ProbeWorld(world.root, world.server, world.kubeconfig, world.drivers)
