"""Policies of the topology manager: where a container's devices come from, and which pods are refused for it."""

import json

import pytest

from pydra_testbed.kubelet import KubeletSettings, TopologyPolicy

from .pluginprocess import Plugin, amounts, asks, pod

RESOURCE = "probe.example.com/dev"
OTHER = "probe.example.com/other"
NEAR, FAR = ("a0", "a1"), ("b0", "b1")


def settings(policy):
    return KubeletSettings(
        reconcile_period=0.01,
        node_update_period=0.01,
        topology_policy=TopologyPolicy(policy),
        numa_nodes=2,
    )


def placed(**nodes):
    """Devices by ID, each with its NUMA node."""
    return [
        {
            "ID": name,
            "health": "Healthy",
            **({} if node is None else {"topology": {"nodes": [{"ID": node}]}}),
        }
        for name, node in nodes.items()
    ]


TWO_NODES = placed(a0=0, a1=0, b0=1, b1=1)


@pytest.fixture
async def serving(node):
    """Starts plugins that list devices as given, without CDI devices."""
    made = []

    async def start(devices, resource=RESOURCE):
        plugin = await Plugin(node, f"p{len(made)}.sock", resource).start()
        made.append(plugin)
        await plugin.tell(f"list {json.dumps(devices)}")
        await plugin.tell(
            f"answer Allocate {json.dumps({'container_responses': [{'envs': {'X': '1'}}]})}"
        )
        assert (await plugin.register())["registered"]
        await amounts(node, len(devices), len(devices), resource)
        return plugin

    yield start
    for plugin in made:
        await plugin.stop()


async def allocated(plugin):
    (asked,) = (await plugin.says("heard", "Allocate"))["request"]["container_requests"]
    return sorted(asked["devices_ids"])


async def refused(node, name):
    status = (await node.until_phase("Failed", name))["status"]
    return status["reason"], status["message"]


TOO_FAR = (
    "TopologyAffinityError",
    "Pod was rejected: Resources cannot be allocated with Topology locality",
)


async def test_single_numa_node_takes_all_devices_of_a_container_from_one_node(node, serving):
    await node.start(settings("single-numa-node"))
    plugin = await serving(TWO_NODES)
    await pod(node, "two", 2)
    assert tuple(await allocated(plugin)) == NEAR
    await pod(node, "three", 3)
    assert await refused(node, "three") == TOO_FAR
    await pod(node, "other-two", 2)
    assert tuple(await allocated(plugin)) == FAR


async def test_the_plugin_advises_among_devices_of_the_right_node(node, serving):
    await node.start(settings("restricted"))
    plugin = await serving(TWO_NODES)
    await pod(node, "p", 1)
    (asked,) = (await plugin.says("heard", "GetPreferredAllocation"))["request"][
        "container_requests"
    ]
    assert tuple(sorted(asked["available_deviceIDs"])) == NEAR
    assert await allocated(plugin) == ["a1"]


@pytest.mark.parametrize("policy", ["restricted", "best-effort"])
async def test_more_than_one_node_has_may_come_from_two(node, serving, policy):
    await node.start(settings(policy))
    plugin = await serving(TWO_NODES)
    await pod(node, "three", 3)
    assert len(await allocated(plugin)) == 3


@pytest.mark.parametrize(("policy", "is_taken"), [("restricted", False), ("best-effort", True)])
async def test_devices_that_are_left_on_two_nodes_are_good_enough_for_best_effort_alone(
    node, serving, policy, is_taken
):
    await node.start(settings(policy))
    plugin = await serving(TWO_NODES)
    for there in (["a0"], ["a0", "b0"]):
        await plugin.tell(f"list {json.dumps([d for d in TWO_NODES if d['ID'] in there])}")
        await amounts(node, len(there), len(there))
        await pod(node, f"has-{there[-1]}", 1)
        assert await allocated(plugin) == there[-1:]
    await plugin.tell(f"list {json.dumps(TWO_NODES)}")
    await amounts(node, 4, 4)
    await pod(node, "late", 2)
    if is_taken:
        assert await allocated(plugin) == ["a1", "b1"]
    else:
        assert await refused(node, "late") == TOO_FAR


@pytest.mark.parametrize(
    ("other", "is_taken"), [({"x": 1}, False), ({"x": 0}, True), ({"x": None}, True)]
)
async def test_two_resources_of_one_container_have_to_agree_on_a_node(
    node, serving, other, is_taken
):
    await node.start(settings("single-numa-node"))
    plugin = await serving(placed(a0=0, a1=0))
    await serving(placed(**other), OTHER)
    amount = {RESOURCE: "1", OTHER: "1"}
    await node.pod("p", container={"resources": {"limits": amount, "requests": amount}})
    if is_taken:
        assert len(await allocated(plugin)) == 1
    else:
        assert await refused(node, "p") == TOO_FAR


async def test_an_init_container_s_devices_bind_the_containers_behind_it(node, serving):
    await node.start(settings("restricted"))
    plugin = await serving(TWO_NODES)
    first = {"name": "first", "image": "none", "command": ["true"], **asks(1)}
    await pod(node, "p", 2, initContainers=[first])
    (one,) = await allocated(plugin)
    both = await allocated(plugin)
    assert one in both
    assert tuple(both) == NEAR
