"""One device ID as it stands in the list the kubelet reads, encoded once and joined for each list."""

from __future__ import annotations

from collections.abc import Sequence

from pydra_core._proto import deviceplugin_v1beta1_pb2 as pb

LARGEST = 4 << 20
"""Bytes of one message that the kubelet's gRPC takes."""
_HEALTHY, _UNHEALTHY = "Healthy", "Unhealthy"


def entry(device_id: str, *, is_well: bool, numa_nodes: Sequence[int]) -> bytes:
    """A list with this ID alone; encoded lists that follow each other are one list."""
    device = pb.Device(ID=device_id, health=_HEALTHY if is_well else _UNHEALTHY)
    if numa_nodes:
        device.topology.nodes.extend(pb.NUMANode(ID=node) for node in numa_nodes)
    return pb.ListAndWatchResponse(devices=[device]).SerializeToString()
