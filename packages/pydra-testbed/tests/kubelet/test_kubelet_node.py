"""The Node object and its heartbeat."""

from pydra_testbed.objects import ObjectRef


def ready(node):
    return {c["type"]: c for c in node["status"]["conditions"]}["Ready"]


async def test_the_kubelet_makes_its_node_ready(node):
    await node.start()
    found = await node.api.get("nodes", "node-a")
    assert ready(found)["status"] == "True"
    assert found["metadata"]["labels"]["kubernetes.io/hostname"] == "node-a"
    assert set(found["status"]["capacity"]) == {"cpu", "memory", "pods"}
    assert found["status"]["capacity"] == found["status"]["allocatable"]
    assert found["status"]["nodeInfo"]["operatingSystem"] == "linux"
    assert found["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.36.2")


async def test_a_node_that_is_there_is_taken_over_with_what_others_wrote(node):
    labels = {"example.com/rack": "7"}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a", "labels": labels}}
    await node.api.create("nodes", body)
    await node.start()
    found = await node.api.get("nodes", "node-a")
    assert ready(found)["status"] == "True"
    assert found["metadata"]["labels"]["example.com/rack"] == "7"
    assert found["metadata"]["labels"]["kubernetes.io/os"] == "linux"


async def test_the_lease_is_renewed_every_10_seconds(stepped):
    await stepped.start()
    first = await stepped.api.get("leases", "node-a", "kube-node-lease")
    await stepped.clock.asked(10)
    await stepped.clock.advance(10)
    second = await stepped.api.get("leases", "node-a", "kube-node-lease")
    assert first["spec"]["holderIdentity"] == "node-a"
    assert first["spec"]["renewTime"] == "2026-01-01T00:00:00.000000Z"
    assert second["spec"]["renewTime"] == "2026-01-01T00:00:10.000000Z"


async def test_a_node_that_was_deleted_comes_back_with_the_next_status(stepped):
    await stepped.start()
    await stepped.api.delete(ObjectRef("nodes", "node-a"))
    for _ in range(31):
        await stepped.clock.asked(10)
        await stepped.clock.advance(10)
    assert ready(await stepped.api.get("nodes", "node-a"))["status"] == "True"


async def test_a_condition_keeps_its_transition_time_over_heartbeats(stepped):
    await stepped.start()
    before = ready(await stepped.api.get("nodes", "node-a"))
    for _ in range(31):
        await stepped.clock.asked(10)
        await stepped.clock.advance(10)
    after = ready(await stepped.api.get("nodes", "node-a"))
    assert after["lastTransitionTime"] == before["lastTransitionTime"]
    assert after["lastHeartbeatTime"] > before["lastHeartbeatTime"]


async def test_the_node_is_announced_once_the_api_server_takes_it(stepped):
    stepped.server.faults.fail("create", "nodes", 503, times=2)
    stepped.begin()
    for _ in range(2):
        await stepped.clock.asked(1.0)
        await stepped.clock.advance(1.0)
    assert ready(await stepped.api.get("nodes", "node-a"))["status"] == "True"


async def test_a_lease_that_cannot_be_renewed_is_no_reason_to_stop(stepped):
    await stepped.start()
    stepped.server.faults.fail("patch", "leases", 500)
    await stepped.clock.asked(10)
    await stepped.clock.advance(10)
    await stepped.journal.saw("lease not renewed")
    await stepped.clock.asked(10)
    await stepped.clock.advance(10)
    lease = await stepped.api.get("leases", "node-a", "kube-node-lease")
    assert lease["spec"]["renewTime"] == "2026-01-01T00:00:20.000000Z"
