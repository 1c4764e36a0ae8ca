"""How a running testbed is: what its API server says of nodes, drivers, pods and claims."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from pydra_core._api import access
from pydra_core._api.client import KubeClient, decode_object
from pydra_testbed.objects import KubeObject
from pydra_testbed.testbed.place import NodeState, State


class NodeStatus(msgspec.Struct, frozen=True):
    """One node: whether it is ready, what its drivers publish, how many pods it has."""

    name: str
    ready: bool
    drivers: tuple[str, ...]
    devices: int
    pods: int
    driver_process: str
    environment: dict[str, str]


class Status(msgspec.Struct, frozen=True):
    """The testbed as a whole; `memory` in bytes, of its own process."""

    pid: int
    url: str
    kubeconfig: str
    started: str
    memory: int
    nodes: tuple[NodeStatus, ...]
    pods: dict[str, int]
    claims: int
    allocated: int
    running: bool = True


async def ask(state: State) -> Status:
    """Read everything once. Raises `ApiError` when its API server does not answer."""
    client = KubeClient(access.find(state.kubeconfig, {}))
    try:
        nodes, pods = [await _list(client, f"/api/v1/{kind}") for kind in ("nodes", "pods")]
        slices, claims = [
            await _list(client, f"/apis/resource.k8s.io/v1/{kind}")
            for kind in ("resourceslices", "resourceclaims")
        ]
    finally:
        await client.close()
    ready = {_name(node) for node in nodes if _is_ready(node)}
    return Status(
        state.pid,
        state.url,
        state.kubeconfig,
        state.started,
        _resident(state.pid),
        tuple(_node(node, ready, slices, pods, state) for node in state.nodes),
        dict(Counter(str(pod.get("status", {}).get("phase", "Pending")) for pod in pods)),
        len(claims),
        sum("allocation" in (claim.get("status") or {}) for claim in claims),
    )


def environment(state: State, node: NodeState) -> dict[str, str]:
    """The variables with which a driver of the user's serves on a node."""
    return {
        "KUBECONFIG": state.kubeconfig,
        "NODE_NAME": node.name,
        "KUBELET_ROOT": node.kubelet_root,
        "CDI_DIR": node.cdi_dir,
    }


def tell(console: Console, status: Status) -> None:
    """Print a table of nodes and a line for the rest."""
    memory = f"{status.memory / 1e6:.0f} MB"
    console.print(f"testbed at {status.url} since {status.started}, process {status.pid}, {memory}")
    table = Table("NODE", "READY", "DRIVERS", "DEVICES", "PODS", box=None, pad_edge=False)
    for node in status.nodes:
        drivers = ", ".join(node.drivers) or "-"
        if node.driver_process == "ended":
            drivers += " (its process has ended)"
        counts = str(node.devices), str(node.pods)
        table.add_row(node.name, "yes" if node.ready else "no", drivers, *counts)
    console.print(table)
    phases = ", ".join(f"{count} {phase}" for phase, count in sorted(status.pods.items()))
    console.print(
        f"pods: {phases or 'none'}; claims: {status.claims}, {status.allocated} allocated"
    )


def _node(
    node: NodeState,
    ready: set[str],
    slices: Sequence[KubeObject],
    pods: Sequence[KubeObject],
    state: State,
) -> NodeStatus:
    own = [s["spec"] for s in slices if s["spec"].get("nodeName") == node.name]
    return NodeStatus(
        node.name,
        node.name in ready,
        tuple(sorted({spec["driver"] for spec in own})),
        sum(len(spec.get("devices") or ()) for spec in own),
        sum(pod["spec"].get("nodeName") == node.name for pod in pods),
        _process(node.driver),
        environment(state, node),
    )


async def _list(client: KubeClient, path: str) -> list[KubeObject]:
    found: list[Any] = decode_object(f"GET {path}", await client.get(path)).get("items") or []
    return found


def _name(body: KubeObject) -> str:
    return str(body["metadata"]["name"])


def _is_ready(node: KubeObject) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _process(pid: int) -> str:
    if not pid:
        return "none"
    return "running" if Path(f"/proc/{pid}").exists() else "ended"


def _resident(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
