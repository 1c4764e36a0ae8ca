from __future__ import annotations

from pydra_testbed.scheduler import Scheduler

NO_DEVICE = (
    "0/1 nodes are available: 1 cannot allocate all claims. still not schedulable, preemption: "
    "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)
FINALIZER = "resource.kubernetes.io/delete-protection"


async def test_a_pod_gets_its_devices_in_three_writes(cluster):
    await cluster.slice("s1", ["d0", "d1"])
    await cluster.claim("c1")
    await cluster.calm()
    async with cluster.history("resourceclaims") as claims, cluster.history("pods") as pods:
        await cluster.pod("p1", "c1")
        await cluster.calm()
    first, second = (event.object for event in claims)
    assert first["metadata"]["finalizers"] == [FINALIZER]
    assert "allocation" not in first["status"]
    assert second["status"]["allocation"]["devices"]["results"] == [
        {"request": "r0", "driver": "gpu.example.com", "pool": "n1", "device": "d0"}
    ]
    assert second["status"]["allocation"]["allocationTimestamp"] == "2026-01-01T00:00:00Z"
    assert [consumer["name"] for consumer in second["status"]["reservedFor"]] == ["p1"]
    bound = pods[-1].object
    assert bound["spec"]["nodeName"] == "n1"
    assert int(bound["metadata"]["resourceVersion"]) > int(second["metadata"]["resourceVersion"])


async def test_a_pod_without_devices_is_told_why_and_gets_them_when_they_appear(cluster):
    await cluster.claim("c1")
    await cluster.pod("p1", "c1")
    await cluster.calm()
    assert await cluster.condition("p1") == ("Unschedulable", NO_DEVICE)
    await cluster.slice("s1", ["d0"])
    await cluster.clock.advance(1)
    await cluster.calm()
    assert await cluster.node_of("p1") == "n1"
    assert await cluster.condition("p1") is None


async def test_events_tell_of_failures_and_success(cluster):
    await cluster.claim("c1")
    await cluster.pod("p1", "c1")
    await cluster.calm()
    await cluster.slice("s1", ["d0"])
    await cluster.clock.advance(1)
    await cluster.calm()
    events = [(e["type"], e["reason"], e["message"]) for e in await cluster.list("events")]
    assert events == [
        ("Warning", "FailedScheduling", NO_DEVICE),
        ("Normal", "Scheduled", "Successfully assigned default/p1 to n1"),
    ]


async def test_a_failed_pod_is_tried_at_once_when_something_changes_and_nobody_else_waits(cluster):
    await cluster.claim("c1", {"count": 4})
    await cluster.pod("p1", "c1")
    for number in range(4):
        await cluster.calm()
        assert await cluster.node_of("p1") is None
        await cluster.slice(f"s{number}", [f"d{number}"], pool=f"pool{number}")
    await cluster.calm()
    assert await cluster.node_of("p1") == "n1"


async def test_a_pod_that_failed_lets_others_go_first_for_a_while(cluster):
    for name in ("c1", "c2"):
        await cluster.claim(name)
    await cluster.pod("early", "c1")
    await cluster.calm()
    await cluster.pod("late", "c2", schedulingGates=[{"name": "hold"}])
    late = await cluster.get("pods", "late")
    del late["spec"]["schedulingGates"]
    await cluster.api.update("pods", late)
    await cluster.slice("s1", ["d0"])
    await cluster.calm()
    assert await cluster.node_of("late") == "n1"
    assert await cluster.node_of("early") is None


async def test_a_pod_waits_without_a_condition_for_a_claim_that_does_not_exist(cluster):
    await cluster.slice("s1", ["d0"])
    await cluster.pod("p1", "c1")
    await cluster.calm()
    assert "conditions" not in (await cluster.get("pods", "p1"))["status"]
    await cluster.claim("c1")
    await cluster.calm()
    assert await cluster.node_of("p1") == "n1"


async def test_pods_of_a_shared_claim_follow_it_and_are_all_reserved(cluster):
    await cluster.node("n2")
    await cluster.slice("s1", ["d0"])
    await cluster.slice("s2", ["d0"], node="n2")
    await cluster.claim("c1")
    for name in ("p1", "p2"):
        await cluster.pod(name, "c1")
        await cluster.calm()
    claim = await cluster.get("resourceclaims", "c1")
    assert [consumer["name"] for consumer in claim["status"]["reservedFor"]] == ["p1", "p2"]
    assert await cluster.node_of("p2") == await cluster.node_of("p1")


async def test_all_claims_of_a_pod_are_allocated_or_none(cluster):
    await cluster.slice("s1", ["d0"])
    await cluster.claim("c1")
    await cluster.claim("c2")
    await cluster.pod("p1", "c1", "c2")
    await cluster.calm()
    assert [await cluster.devices(name) for name in ("c1", "c2")] == [None, None]
    await cluster.slice("s2", ["d0"], pool="more")
    await cluster.clock.advance(1)
    await cluster.calm()
    assert [await cluster.devices(name) for name in ("c1", "c2")] == [["d0"], ["d0"]]


async def test_no_two_claims_get_one_device(cluster):
    await cluster.slice("s1", [f"d{i}" for i in range(10)])
    await cluster.template()
    for number in range(12):
        await cluster.pod(f"p{number}", template="t")
    await cluster.calm()
    held = [
        result["device"]
        for claim in await cluster.list("resourceclaims")
        for result in claim["status"].get("allocation", {}).get("devices", {}).get("results", [])
    ]
    assert sorted(held) == [f"d{i}" for i in range(10)]


async def test_nodes_that_are_cordoned_or_not_ready_are_passed_over(cluster):
    for name in ("n1", "n2", "n3"):
        await cluster.slice(f"s-{name}", ["d0"], node=name)
    await cluster.node("n2")
    await cluster.node("n3")
    cordoned = await cluster.get("nodes", "n1")
    cordoned["spec"] = {"unschedulable": True}
    await cluster.api.update("nodes", cordoned)
    sick = await cluster.get("nodes", "n2")
    sick["status"]["conditions"][0]["status"] = "False"
    await cluster.api.update("nodes", sick, "status")
    await cluster.claim("c1")
    await cluster.pod("p1", "c1")
    await cluster.pod("p2", nodeSelector={"kubernetes.io/hostname": "n2"})
    await cluster.calm()
    assert await cluster.node_of("p1") == "n3"
    assert (await cluster.condition("p2"))[1].startswith(
        "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) had untolerated taint(s), 1 node(s) were unschedulable."
    )


async def test_a_failing_selector_is_a_scheduler_error_with_its_place(cluster):
    await cluster.slice("s1", ["d0"])
    expression = 'device.attributes["gpu.example.com"].nope == 1'
    await cluster.claim("c1", {"selectors": [{"cel": {"expression": expression}}]})
    await cluster.pod("p1", "c1")
    await cluster.calm()
    assert await cluster.condition("p1") == (
        "SchedulerError",
        (
            'running "DynamicResources" filter plugin: claim default/c1: selector #0: '
            "CEL runtime error: no such key: nope"
        ),
    )


async def test_pods_of_other_schedulers_and_pods_without_claims(cluster):
    await cluster.pod("ours")
    await cluster.pod("theirs", schedulerName="theirs")
    await cluster.calm()
    assert await cluster.node_of("ours") == "n1"
    assert await cluster.node_of("theirs") is None


async def test_an_allocation_for_a_node_that_is_gone_is_taken_back(cluster):
    await cluster.slice("s1", ["d0"])
    claim = await cluster.claim("c1")
    claim["status"] = {
        "allocation": {
            "devices": {
                "results": [
                    {"request": "r0", "driver": "gpu.example.com", "pool": "n9", "device": "d0"}
                ]
            },
            "nodeSelector": {
                "nodeSelectorTerms": [
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n9"]}]}
                ]
            },
        }
    }
    await cluster.api.update("resourceclaims", claim, "status")
    await cluster.pod("p1", "c1")
    await cluster.calm()
    told = [event["message"] for event in await cluster.list("events")]
    assert "deallocation of ResourceClaim completed" in told[0]
    assert await cluster.node_of("p1") == "n1"


async def test_a_scheduler_that_starts_late_knows_what_is_in_use(bare):
    cluster = bare
    await cluster.create("deviceclasses", "gpu", {})
    await cluster.node()
    await cluster.slice("s1", ["d0", "d1"])
    for number in (1, 2):
        await cluster.claim(f"c{number}")
        await cluster.pod(f"p{number}", f"c{number}")
        async with cluster.running(Scheduler):
            await cluster.calm()
    assert [await cluster.devices(name) for name in ("c1", "c2")] == [["d0"], ["d1"]]


async def offers(cluster, name, amount):
    node = await cluster.get("nodes", "n1")
    node["status"]["allocatable"] = {name: amount}
    await cluster.api.update("nodes", node, "status")


async def test_extended_resources_of_a_node_are_counted_and_come_back(cluster):
    limits = {"limits": {"example.com/card": "2"}}
    spec = {"containers": [{"name": "c", "image": "i", "resources": limits}]}
    await offers(cluster, "example.com/card", "3")
    for name in ("p1", "p2"):
        await cluster.create("pods", name, spec)
    await cluster.calm()
    assert [await cluster.node_of(name) for name in ("p1", "p2")] == ["n1", None]
    assert (await cluster.condition("p2"))[1] == (
        "0/1 nodes are available: 1 Insufficient example.com/card. no new claims to deallocate, "
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )
    await cluster.finish("p1")
    await cluster.clock.advance(1)
    await cluster.calm()
    assert await cluster.node_of("p2") == "n1"
