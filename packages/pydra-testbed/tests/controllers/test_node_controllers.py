"""Nodes that fall silent or are not ready, and the pods on them."""

from __future__ import annotations

import pytest

UNREACHABLE = "node.kubernetes.io/unreachable"


@pytest.fixture
async def occupied(acting):
    """A node with a lease, and three pods: plain, patient for ten seconds, and staying for ever."""
    await acting.cluster.node()
    await acting.lease()
    tolerations = {
        "plain": [],
        "patient": [{"key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": 10}],
        "staying": [{"operator": "Exists"}],
    }
    for name, tolerated in tolerations.items():
        await acting.cluster.pod(name, tolerations=tolerated)
    await acting.play_kubelet()
    return acting


async def taints(acting):
    spec = (await acting.cluster.get("nodes", "n1")).get("spec", {})
    return [(taint["key"], taint["effect"]) for taint in spec.get("taints", [])]


async def leaving(acting):
    pods = await acting.cluster.list("pods")
    return [p["metadata"]["name"] for p in pods if p["metadata"].get("deletionTimestamp")]


async def renew(acting):
    lease = await acting.cluster.get("leases", "n1", "kube-node-lease")
    lease["spec"]["renewTime"] = acting.cluster.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    await acting.api.update("leases", lease)


async def ready(acting, status):
    node = await acting.cluster.get("nodes", "n1")
    node["status"]["conditions"] = [{"type": "Ready", "status": status}]
    await acting.api.update("nodes", node, "status")


async def test_a_silent_node_is_unreachable_after_50_seconds(occupied):
    await occupied.calm(30)
    await renew(occupied)
    await occupied.calm(49)
    assert await taints(occupied) == []
    await occupied.calm(1)
    assert await taints(occupied) == [(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]
    node = await occupied.cluster.get("nodes", "n1")
    (condition,) = node["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("Unknown", "NodeStatusUnknown")
    pod = await occupied.cluster.get("pods", "plain")
    assert [c["status"] for c in pod["status"]["conditions"] if c["type"] == "Ready"] == ["False"]


async def test_pods_leave_an_unreachable_node_when_their_time_is_up(occupied):
    await occupied.calm(50)
    await occupied.calm(9.9)
    assert await leaving(occupied) == []
    await occupied.calm(0.1)
    assert await leaving(occupied) == ["patient"]
    await occupied.calm(289.9)
    assert await leaving(occupied) == ["patient"]
    await occupied.calm(0.1)
    assert await leaving(occupied) == ["patient", "plain"]
    pod = await occupied.cluster.get("pods", "plain")
    assert [
        c["reason"] for c in pod["status"]["conditions"] if c["type"] == "DisruptionTarget"
    ] == ["DeletionByTaintManager"]
    await occupied.calm(3600)
    assert "staying" not in await leaving(occupied)


async def test_a_node_that_comes_back_in_time_keeps_its_pods(occupied):
    await occupied.calm(50)
    await occupied.calm(5)
    await renew(occupied)
    await ready(occupied, "True")
    await occupied.calm()
    assert await taints(occupied) == []
    await occupied.calm(40)
    assert await leaving(occupied) == []
    assert ("TaintManagerEviction", "Cancelling deletion of Pod default/patient") in (
        await occupied.events("taint-eviction-controller")
    )


async def test_a_node_that_says_it_is_not_ready_is_tainted_as_such(occupied):
    await ready(occupied, "False")
    await occupied.calm()
    not_ready = "node.kubernetes.io/not-ready"
    assert await taints(occupied) == [(not_ready, "NoSchedule"), (not_ready, "NoExecute")]


async def test_a_no_execute_taint_of_an_administrator_evicts_at_once(occupied):
    node = await occupied.cluster.get("nodes", "n1")
    node["spec"] = {"taints": [{"key": "maintenance", "effect": "NoExecute"}]}
    await occupied.api.update("nodes", node)
    await occupied.calm()
    assert await leaving(occupied) == ["patient", "plain"]
