"""Policies of the topology manager: where a container's devices come from, and which pods are refused for it."""

import json

import pytest

from pydra_testbed.kubelet import KubeletSettings, TopologyPolicy, TopologyScope
from pydra_testbed.kubelet.deviceplugins.model import PluginDevice
from pydra_testbed.kubelet.deviceplugins.topology import Hint, Topology, chosen, hints

from .pluginprocess import Plugin, amounts, asks, pod

RESOURCE = "probe.example.com/dev"
OTHER = "probe.example.com/other"
NEAR, FAR = ("a0", "a1"), ("b0", "b1")


def settings(policy, scope="container"):
    return KubeletSettings(
        reconcile_period=0.01,
        node_update_period=0.01,
        topology_policy=TopologyPolicy(policy),
        topology_scope=TopologyScope(scope),
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


def container(name, count, resource=RESOURCE):
    return {"name": name, "image": "none", "command": ["sleep", "1000"], **asks(count, resource)}


BOTH = [container("c0", 1), container("c1", 1)]


async def in_order(plugin, count):
    return [device for _ in range(count) for device in await allocated(plugin)]


async def test_scope_pod_takes_the_devices_of_all_containers_from_one_node(node, serving):
    """By container each takes the lowest node that has one, and the second has to go elsewhere."""
    await node.start(settings("single-numa-node", "pod"))
    plugin = await serving(placed(a0=0, b0=1, b1=1))
    await node.pod("p", containers=BOTH)
    assert tuple(sorted(await in_order(plugin, 2))) == FAR


async def test_scope_container_takes_each_container_s_devices_from_a_node_of_its_own(node, serving):
    await node.start(settings("single-numa-node"))
    plugin = await serving(placed(a0=0, b0=1, b1=1))
    await node.pod("p", containers=BOTH)
    first, second = await in_order(plugin, 2)
    assert (first, second in FAR) == ("a0", True)


@pytest.mark.parametrize("policy", ["single-numa-node", "restricted"])
async def test_scope_pod_refuses_a_pod_before_any_of_its_containers_is_given_something(
    node, serving, policy
):
    await node.start(settings(policy, "pod"))
    plugin = await serving(placed(a0=0, b0=1))
    other = await serving(placed(x0=0, x1=0), OTHER)
    wants = [container("c0", 1), container("c1", 1), container("c2", 2, OTHER)]
    await node.pod("p", containers=wants)
    assert await refused(node, "p") == TOO_FAR
    await plugin.tell("end")
    await other.tell("end")
    assert "Allocate" not in plugin.heard() + other.heard()


async def test_scope_pod_with_best_effort_gives_what_there_is(node, serving):
    await node.start(settings("best-effort", "pod"))
    plugin = await serving(placed(a0=0, b0=1))
    other = await serving(placed(x0=0, x1=0), OTHER)
    await node.pod("p", containers=[*BOTH, container("c2", 2, OTHER)])
    assert sorted(await in_order(plugin, 2)) == ["a0", "b0"]
    assert await allocated(other) == ["x0", "x1"]


async def test_scope_pod_counts_an_init_container_s_devices_once_as_they_are_used_again(
    node, serving
):
    """One device for each of two init containers, one for each of two containers: two together, which a node has."""
    await node.start(settings("single-numa-node", "pod"))
    plugin = await serving(placed(a0=0, b0=1, b1=1))
    passing = [container(f"i{i}", 1) | {"command": ["true"]} for i in range(2)]
    await node.pod("p", initContainers=passing, containers=BOTH)
    assert set(await in_order(plugin, 4)) == set(FAR)


async def test_policy_none_knows_no_scope(node, serving):
    await node.start(settings("none", "pod"))
    plugin = await serving(placed(a0=0, b0=1, b1=1))
    await pod(node, "p", 3)
    assert len(await allocated(plugin)) == 3


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"numa_nodes": 9}, "unsupported on machines with more than 8 NUMA Nodes"),
        ({"max_numa_nodes": 7}, "should not be less than 8"),
        ({"numa_nodes": 2, "numa_distances": ((10, 20),)}, "numa_distances"),
    ],
    ids=["too-many-nodes", "too-low-a-limit", "distances-missing"],
)
def test_a_kubelet_does_not_start_on_a_machine_its_topology_manager_cannot_look_through(wrong, why):
    assert Topology.of(KubeletSettings(**wrong)) == Topology()
    with pytest.raises(ValueError, match=why):
        Topology.of(KubeletSettings(topology_policy=TopologyPolicy.RESTRICTED, **wrong))
    enough = {"numa_nodes": 9, "max_numa_nodes": 9}
    policy = TopologyPolicy.RESTRICTED
    assert len(Topology.of(KubeletSettings(topology_policy=policy, **enough)).machine) == 9


def nodes(*pairs, preferred=True):
    return [Hint(frozenset(pair), preferred) for pair in pairs]


ANY, NOT_POSSIBLE = Hint(None, preferred=True), Hint(None, preferred=False)


@pytest.mark.parametrize(
    ("devices", "taken", "count", "expected"),
    [
        ((None, None), "", 1, [ANY]),
        ((None, 1), "", 1, [*nodes((1,)), *nodes((0, 1), preferred=False)]),
        ((0, 1), "", 1, [*nodes((0,), (1,)), *nodes((0, 1), preferred=False)]),
        ((0, 1), "", 2, nodes((0, 1))),
        ((0, 1, 0, 1), "", 2, [*nodes((0,), (1,)), *nodes((0, 1), preferred=False)]),
        ((0, 1, 0, 1), "01", 2, nodes((0, 1), preferred=False)),
        ((0, 0, 1, 1), "02", 2, nodes((0, 1), preferred=False)),
        ((0, 0, 1, 1), "", 6, [NOT_POSSIBLE]),
        ((0,), "", 1, [*nodes((0,)), *nodes((0, 1), preferred=False)]),
    ],
)
def test_hints_are_those_of_the_kubelet_s_own_table_of_cases(devices, taken, count, expected):
    """`TestGetTopologyHints` and `TestGetPodTopologyHints` of kubelet 1.36, on two nodes."""
    there = {
        str(i): PluginDevice(str(i), nodes=() if node is None else (node,))
        for i, node in enumerate(devices)
    }
    assert hints(there, there.keys() - set(taken), (), count, (0, 1)) == expected


TWO_SOCKETS = ((10, 11, 21, 21), (11, 10, 21, 21), (21, 21, 10, 11), (21, 21, 11, 10))
CROSSED = ((10, 30, 11, 30), (30, 10, 30, 11), (11, 30, 10, 30), (30, 11, 30, 10))


@pytest.mark.parametrize("policy", list(TopologyPolicy))
@pytest.mark.parametrize(
    ("distances", "best"), [((), {0, 1}), (TWO_SOCKETS, {0, 1}), (CROSSED, {0, 2})]
)
def test_of_as_many_nodes_those_that_are_nearest_to_each_other_where_distances_count(
    policy, distances, best
):
    """KEP-3545; single-numa-node never has two to choose from."""
    topology = Topology(policy, (0, 1, 2, 3), distances=distances)
    every = [(a, b) for a in range(4) for b in range(a + 1, 4)]
    found = chosen(topology, [nodes(*every)])
    if policy is TopologyPolicy.NONE:
        assert found == (None, True)
    elif policy is TopologyPolicy.SINGLE_NUMA_NODE:
        assert found == (None, False)
    else:
        assert found == (best, True)


def test_fewer_nodes_come_before_nearer_ones():
    topology = Topology(TopologyPolicy.RESTRICTED, (0, 1, 2, 3), distances=CROSSED)
    assert chosen(topology, [nodes((0, 2), (3,))]) == ({3}, True)
