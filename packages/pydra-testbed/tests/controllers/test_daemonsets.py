"""One pod on each node that may have one."""

from __future__ import annotations

import pytest


@pytest.fixture
async def three(acting):
    """Three nodes, one of them labelled `gpu`."""
    for name in ("n1", "n2", "n3"):
        labels = {"gpu": "yes"} if name == "n3" else {}
        await acting.cluster.node(name, **labels)
        await acting.lease(name)
    return acting


async def test_each_node_gets_a_pod_also_one_that_comes_later(three):
    await three.workload("daemonsets")
    await three.play_kubelet()
    assert await three.pods() == [("n1", "one"), ("n2", "one"), ("n3", "one")]
    await three.cluster.node("n4")
    await three.play_kubelet()
    assert [node for node, _ in await three.pods()] == ["n1", "n2", "n3", "n4"]
    status = await three.status("daemonsets")
    assert status == {
        "observedGeneration": 1,
        "currentNumberScheduled": 4,
        "desiredNumberScheduled": 4,
        "numberMisscheduled": 0,
        "numberReady": 4,
        "updatedNumberScheduled": 4,
        "numberAvailable": 4,
        "numberUnavailable": 0,
    }


@pytest.mark.parametrize("way", ["selector", "affinity", "taint"])
async def test_only_nodes_that_fit_get_one(three, way):
    spec = {"containers": [{"name": "c", "image": "one"}]}
    if way == "selector":
        spec["nodeSelector"] = {"gpu": "yes"}
    elif way == "affinity":
        term = {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["yes"]}]}
        required = {"nodeSelectorTerms": [term]}
        kind = "requiredDuringSchedulingIgnoredDuringExecution"
        spec["affinity"] = {"nodeAffinity": {kind: required}}
    else:
        for name in ("n1", "n2"):
            node = await three.cluster.get("nodes", name)
            node["spec"] = {"taints": [{"key": "k", "effect": "NoSchedule"}]}
            await three.api.update("nodes", node)
    template = {"metadata": {"labels": {"app": "a"}}, "spec": spec}
    await three.workload("daemonsets", template=template)
    await three.play_kubelet()
    assert await three.pods() == [("n3", "one")]
    assert (await three.status("daemonsets"))["desiredNumberScheduled"] == 1


async def test_an_update_replaces_one_pod_after_the_other(three):
    await three.workload("daemonsets")
    await three.play_kubelet()
    await three.set_image("daemonsets", "two")
    for _ in range(8):
        await three.calm()
        gone = [
            p for p in await three.cluster.list("pods") if p["metadata"].get("deletionTimestamp")
        ]
        assert len(gone) <= 1
        await three.play_kubelet()
    assert {image for _, image in await three.pods()} == {"two"}
    status = await three.status("daemonsets")
    assert (status["updatedNumberScheduled"], status["numberAvailable"]) == (3, 3)


async def test_a_surge_starts_the_new_pod_before_the_old_one_goes(three):
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    await three.workload(
        "daemonsets", updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling}
    )
    await three.play_kubelet()
    await three.set_image("daemonsets", "two")
    for _ in range(10):
        await three.calm()
        assert (await three.status("daemonsets"))["numberAvailable"] == 3
        await three.play_kubelet()
    assert await three.pods() == [("n1", "two"), ("n2", "two"), ("n3", "two")]


async def test_a_pod_that_never_becomes_ready_stops_the_rollout(three):
    await three.workload("daemonsets")
    await three.play_kubelet()
    await three.set_image("daemonsets", "broken")
    for _ in range(6):
        await three.play_kubelet(ready=False)
    assert sorted(image for _, image in await three.pods()) == ["broken", "one", "one"]


async def test_on_delete_waits_for_the_user(three):
    await three.workload("daemonsets", updateStrategy={"type": "OnDelete"})
    await three.play_kubelet()
    await three.set_image("daemonsets", "two")
    await three.play_kubelet()
    assert {image for _, image in await three.pods()} == {"one"}


async def test_a_daemon_stays_on_a_node_that_is_not_ready(three):
    await three.workload("daemonsets")
    await three.play_kubelet()
    await three.calm(3600)
    assert len(await three.pods()) == 3


async def test_a_pod_that_failed_is_replaced_after_a_second(three):
    await three.workload("daemonsets")
    await three.play_kubelet()
    name = (await three.cluster.list("pods"))[0]["metadata"]["name"]
    await three.cluster.finish(name, "Failed")
    await three.calm(1)
    await three.play_kubelet()
    assert len(await three.pods()) == 3
    assert await three.cluster.get("pods", name) is None
