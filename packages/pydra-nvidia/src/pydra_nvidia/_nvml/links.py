"""How GPUs are connected: NVLinks, the fabric behind them, and where their ways over PCIe meet."""

from __future__ import annotations

import uuid
from itertools import combinations
from typing import Any

from pydra_nvidia._nvml.asking import Asking
from pydra_nvidia._nvml.identity import address
from pydra_nvidia._nvml.words import FABRIC_STATES, LINK_ENDS, LINK_VERSIONS, word

MOST_LINKS = 36
_NEWEST_FABRIC = ("c_nvmlGpuFabricInfo_v3_t", "c_nvmlGpuFabricInfo_v2_t")


def links(gpu: Asking) -> list[dict[str, Any]]:
    """The NVLinks of a GPU, none if it has none."""
    return [_link(gpu, link, active=active) for link, active in states(gpu).items()]


def states(gpu: Asking) -> dict[int, bool]:
    """Which NVLinks there are, and whether they are active. NVML says by an error that there are no more."""
    found: dict[int, bool] = {}
    for link in range(MOST_LINKS):
        active = gpu.one("nvmlDeviceGetNvLinkState", link)
        if active is not None:
            found[link] = bool(active)
        elif gpu.no_more or gpu.silent:
            break
    return found


def _link(gpu: Asking, link: int, *, active: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"link": link, "active": active}
    told["version"] = word(LINK_VERSIONS, gpu("nvmlDeviceGetNvLinkVersion", link), "version")
    if not active:
        return told
    kind = gpu("nvmlDeviceGetNvLinkRemoteDeviceType", link)
    pci = gpu("nvmlDeviceGetNvLinkRemotePciInfo", link)
    told["remote"] = None if kind is None else LINK_ENDS.get(kind, "unknown")
    told["remote_bus_id"] = None if pci is None else address(pci.domain, pci.bus, pci.device)
    return told


def fabric(gpu: Asking) -> dict[str, Any] | None:
    """The NVLink domain of a GPU: asked in the newest form, then in an older one; None outside of any."""
    for kind in _NEWEST_FABRIC:
        told = gpu.struct("nvmlDeviceGetGpuFabricInfoV", kind)
        if told is not None:
            break
    else:
        return None
    state = FABRIC_STATES.get(told.state)
    if state is None or state == "not_supported":
        return None
    cluster = uuid.UUID(bytes=bytes(told.clusterUuid))
    return {
        "state": state,
        "status": told.status,
        "cluster_uuid": str(cluster) if cluster.int else None,
        "clique": told.cliqueId,
        "health_mask": told.healthMask,
    }


def ancestors(gpus: list[Asking]) -> list[list[int | None]]:
    """For each pair where their ways meet: it is the same from both ends, so half is asked."""
    found: list[list[int | None]] = [[None] * len(gpus) for _ in gpus]
    for (i, one), (j, other) in combinations(enumerate(gpus), 2):
        if not other.silent:
            level = one("nvmlDeviceGetTopologyCommonAncestor", other.handle)
            found[i][j] = found[j][i] = level
    return found
