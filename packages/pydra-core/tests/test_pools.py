"""Several pools: which writes, in which order, and what stays while a device or a pool goes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pydra_core import CounterSet, Device, Inventory, Taint
from pydra_core._api.plan import Owner, plan, slice_name
from pydra_core._api.pools import local_pools, nodes_body
from pydra_core._api.render import slice_contents
from pydra_core._api.rules import faults_by_pool
from pydra_core._api.wanted import Marks, Wanted
from pydra_core.values import NodeRequirement, Nodes, Pool

DRIVER, NODE = "card.acme.example", "node-1"
OWNER = Owner(NODE, "uid-1")
INNER = f"{NODE}/inner"
GONE = [{"key": f"{DRIVER}/gone", "effect": "NoSchedule"}]


def pool(name, *devices, **kwargs):
    return Pool(name, tuple(Device(d) if isinstance(d, str) else d for d in devices), **kwargs)


def node_contents(*devices, **pools):
    """What node-1 publishes: its own pool's devices, and further pools' by their names."""
    inventory = Inventory(
        *map(Device, devices), pools=tuple(pool(name, *found) for name, found in pools.items())
    )
    return slice_contents(local_pools(inventory, NODE), NODE)


def apply(existing, write):
    state = {e["metadata"]["name"]: e for e in existing}
    state.pop(write.body["metadata"]["name"], None)
    if write.verb != "delete":
        state[write.body["metadata"]["name"]] = write.body
    return list(state.values())


def written(existing, desired, owner=OWNER):
    """The writes, and what the API holds afterwards; at no step is a device in two pools."""
    writes = plan(existing, desired, DRIVER, owner)
    for write in writes:
        existing = apply(existing, write)
        assert_apart(existing)
    return writes, existing


def assert_apart(existing):
    homes = {}
    for body in existing:
        for device in body["spec"].get("devices") or []:
            home = homes.setdefault(device["name"], body["spec"]["pool"]["name"])
            assert home == body["spec"]["pool"]["name"], f"{device['name']} is in two pools"


def told(writes):
    return [(w.verb, w.body["spec"]["pool"]["name"]) for w in writes]


def test_further_pools_of_a_node_carry_its_name_and_are_slices_of_their_own():
    writes, existing = written([], node_contents("card-0", inner=["part-0"]))
    assert told(writes) == [("create", NODE), ("create", INNER)]
    own, inner = (body["spec"] for body in existing)
    assert inner == {
        "driver": DRIVER,
        "nodeName": NODE,
        "pool": {"name": INNER, "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "part-0"}],
    }
    assert own["pool"]["resourceSliceCount"] == 1
    assert existing[1]["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert "/" not in existing[1]["metadata"]["name"]


def test_names_of_slices_tell_pools_apart_that_look_alike():
    names = {slice_name(name, DRIVER, 0) for name in (INNER, "node-1-inner", "node-1/in/ner")}
    assert len(names) == 3


def test_an_unchanged_inventory_of_several_pools_writes_nothing():
    desired = node_contents("card-0", inner=["part-0"], outer=[])
    _, existing = written([], desired)
    assert plan(existing, desired, DRIVER, OWNER) == []


def test_a_change_in_one_pool_leaves_the_others_alone():
    _, existing = written([], node_contents("card-0", inner=["part-0"]))
    writes, _ = written(existing, node_contents("card-0", inner=["part-0", "part-1"]))
    assert told(writes) == [("update", INNER)]


def test_a_device_leaves_its_pool_before_it_comes_to_another():
    _, existing = written([], node_contents("a", "b", inner=[]))
    writes, existing = written(existing, node_contents("a", inner=["b"]))
    assert told(writes) == [("update", NODE), ("update", INNER)]
    back, _ = written(existing, node_contents("a", "b", inner=[]))
    assert told(back) == [("update", INNER), ("update", NODE)]


def test_devices_that_change_places_are_nowhere_in_between():
    _, existing = written([], node_contents("a", inner=["b"]))
    desired = node_contents("b", inner=["a"])
    writes, existing = written(existing, desired)
    assert told(writes) == [
        ("delete", NODE), ("delete", INNER), ("create", NODE), ("create", INNER),
    ]  # fmt: skip
    assert {e["spec"]["pool"]["generation"] for e in existing} == {2}
    assert plan(existing, desired, DRIVER, OWNER) == []


def test_a_pool_that_is_gone_is_deleted_before_anything_is_made():
    _, existing = written([], node_contents("a", inner=["b"]))
    writes, _ = written(existing, node_contents("a", "b"))
    assert told(writes) == [("delete", INNER), ("update", NODE)]


def test_a_pool_that_is_to_be_left_alone_is_neither_changed_nor_deleted():
    _, existing = written([], node_contents("a", inner=["b"]))
    desired = node_contents("a", "c") | {INNER: None}
    assert told(plan(existing, desired, DRIVER, OWNER)) == [("update", NODE)]


def test_the_generation_of_each_pool_grows_by_itself():
    writes = plan([], node_contents("a", inner=["b"]), DRIVER, OWNER, {INNER: 7})
    assert [w.body["spec"]["pool"]["generation"] for w in writes] == [1, 8]


def shared(nodes, *devices, name="rack-a"):
    return slice_contents([pool(name, *devices, nodes=nodes)])


def test_slices_of_a_pool_of_many_nodes_have_no_node_and_no_owner():
    (write,), _ = written([], shared(Nodes(), "box-0"), None)
    assert write.body["metadata"] == {"name": f"rack-a-{DRIVER}-0000"}
    assert write.body["spec"]["allNodes"] is True
    assert "nodeName" not in write.body["spec"]


def test_an_owner_that_an_administrator_gave_stays():
    _, (body,) = written([], shared(Nodes(), "box-0"), None)
    owned = {**body, "metadata": {**body["metadata"], "ownerReferences": [{"uid": "class"}]}}
    assert plan([owned], shared(Nodes(), "box-0"), DRIVER, None) == []
    (write,) = plan([owned], shared(Nodes(), "box-1"), DRIVER, None)
    assert write.body["metadata"] == owned["metadata"]


def test_other_nodes_are_an_update_and_of_several_slices_a_generation():
    rack, both = Nodes(labels={"rack": "a"}), Nodes(labels={"rack": "b"})
    _, one = written([], shared(rack, "box-0"), None)
    (write,), _ = written(one, shared(both, "box-0"), None)
    assert (write.verb, write.body["spec"]["pool"]["generation"]) == ("update", 1)
    (everywhere,), (body,) = written(one, shared(Nodes(), "box-0"), None)
    assert everywhere.verb == "update"
    assert {"allNodes", "nodeSelector"} & body["spec"].keys() == {"allNodes"}
    many = [f"box-{n}" for n in range(200)]
    _, two = written([], shared(rack, *many), None)
    writes, after = written(two, shared(both, *many), None)
    assert [w.verb for w in writes] == ["update", "update"]
    assert {e["spec"]["pool"]["generation"] for e in after} == {2}


def test_a_pool_that_no_longer_belongs_to_a_node_is_made_anew():
    _, existing = written([], node_contents("card-0"))
    writes, _ = written(existing, shared(Nodes(), "card-0", name=NODE), None)
    assert [w.verb for w in writes] == ["delete", "create"]
    assert writes[1].body["spec"]["pool"]["generation"] == 2


layouts = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(("", "inner", "outer"))),
    unique_by=lambda x: x[0],
) | st.dictionaries(
    st.integers(0, 139), st.sampled_from(("", "", "", "inner")), min_size=127, max_size=140
).map(lambda d: [(f"d{n}", p) for n, p in sorted(d.items())])


def laid_out(layout):
    pools = {"inner": [], "outer": []}
    own = []
    for name, where in layout:
        (pools[where] if where else own).append(name)
    return node_contents(*own, **{n: found for n, found in pools.items() if found})


@settings(max_examples=60, deadline=None)
@given(st.lists(layouts, min_size=2, max_size=3))
def test_whatever_moves_no_device_is_in_two_pools_and_a_second_plan_is_empty(story):
    existing = []
    for layout in story:
        desired = laid_out(layout)
        _, existing = written(existing, desired)
        assert plan(existing, desired, DRIVER, OWNER) == []
        found = {}
        for body in sorted(existing, key=lambda e: e["metadata"]["name"]):
            found.setdefault(body["spec"]["pool"]["name"], []).extend(body["spec"]["devices"])
        assert found == {p: [d for c in cs for d in c["devices"]] for p, cs in desired.items()}


def test_nodes_are_spelled_as_the_api_spells_them():
    assert nodes_body(Nodes()) == {"allNodes": True}
    nodes = Nodes(
        labels={"zone": "z", "rack": "a"}, requirements=(NodeRequirement("fabric"),), name="node-9"
    )
    assert nodes_body(nodes) == {
        "nodeSelector": {
            "nodeSelectorTerms": [
                {
                    "matchExpressions": [
                        {"key": "rack", "operator": "In", "values": ["a"]},
                        {"key": "zone", "operator": "In", "values": ["z"]},
                        {"key": "fabric", "operator": "Exists"},
                    ],
                    "matchFields": [
                        {"key": "metadata.name", "operator": "In", "values": ["node-9"]}
                    ],
                }
            ]
        }
    }


def test_a_pool_may_leave_it_to_its_devices_which_nodes_reach_them():
    found = slice_contents(
        [
            pool(
                "fabric",
                Device("a", nodes=Nodes(name="node-1")),
                Device("b", nodes=Nodes()),
                Device("c", nodes=Nodes(labels={"rack": "a"})),
            )
        ]
    )
    (content,) = found["fabric"]
    a, b, c = content["devices"]
    assert content["perDeviceNodeSelection"] is True
    assert (a["nodeName"], b["allNodes"], "nodeSelector" in c) == ("node-1", True, True)


def faults(*pools, node=""):
    return faults_by_pool(pools, node)


def test_what_is_wrong_with_a_pool_is_told_with_its_name_and_is_its_own():
    good = pool("good", "a", nodes=Nodes())
    for bad, says in (
        (pool("Bad", nodes=Nodes()), "its name must be DNS subdomains"),
        (pool("bad", "B_1", nodes=Nodes()), "device name 'B_1': must be a DNS label"),
        (pool("bad", "a", nodes=Nodes()), "device 'a': is in pool 'good' too"),
        (pool("bad", "b"), "device 'b': neither it nor its pool says which nodes reach it"),
        (pool("bad", Device("b", nodes=Nodes()), nodes=Nodes()), "given by its pool"),
        (pool("bad", nodes=Nodes(name="Node")), "'Node' is no node's name"),
        (pool("bad", nodes=Nodes(labels={"a b": "c"})), "label 'a b': must be a label's name"),
        (pool("bad", nodes=Nodes(labels={"a": "b c"})), "value 'b c' must be a label's value"),
        (
            pool("bad", nodes=Nodes(requirements=(NodeRequirement("a", "In"),))),
            "0 values are not for operator In",
        ),
        (
            pool("bad", nodes=Nodes(requirements=(NodeRequirement("a", "Has"),))),
            "operator 'Has' is none of",
        ),
    ):
        found = faults(good, bad)
        assert list(found) == [bad.name]
        assert any(says in fault and repr(bad.name) in fault for fault in found[bad.name]), found


def test_pools_of_a_node_name_no_nodes_and_have_names_of_their_own():
    wrong = Inventory(
        pools=(pool("a", nodes=Nodes()), pool("b", Device("x", nodes=Nodes())), pool("b"), pool(""))
    )
    found = faults_by_pool(local_pools(wrong, NODE), NODE)
    assert "return it from `cluster_pools`" in found[f"{NODE}/a"][0]
    assert any("names nodes" in fault for fault in found[f"{NODE}/b"])
    assert any("several pools of this name" in fault for fault in found[f"{NODE}/b"])
    assert any("several pools of this name" in fault for fault in found[NODE])


def wanted(*pools, node=NODE, marks=None):
    made = Wanted(DRIVER, node)
    made.set(pools)
    made.marks = lambda: marks or Marks()
    return made


def found(contents):
    """Pool to its devices' names; a star is behind those that are tainted as gone."""
    return {
        name: [
            d["name"] + ("*" if d.get("taints") == GONE else "")
            for part in parts
            for d in part.get("devices", [])
        ]
        for name, parts in contents.items()
        if parts is not None
    }


def existing_of(contents, owner=OWNER):
    return written([], contents, owner)[1]


def test_a_taint_goes_to_the_device_of_its_pool():
    sick = Taint(key=f"{DRIVER}/unhealthy")
    made = wanted(pool(NODE, "a"), pool(INNER, "b"), marks=Marks(taints={(INNER, "b"): (sick,)}))
    contents = made.contents([])
    assert contents[INNER][0]["devices"][0]["taints"] == [{"key": sick.key, "effect": "NoSchedule"}]
    assert "taints" not in contents[NODE][0]["devices"][0]


def test_a_vanished_pool_stays_for_the_device_a_claim_holds():
    before = existing_of(node_contents("a", inner=["b", "c"]))
    made = wanted(pool(NODE, "a"), marks=Marks(held=frozenset({(INNER, "b")})))
    contents = made.contents(before)
    assert found(contents) == {NODE: ["a"], INNER: ["b*"]}
    assert contents[INNER][0]["nodeName"] == NODE
    made.marks = Marks
    assert found(made.contents(before)) == {NODE: ["a"]}


def test_a_device_that_moved_under_a_claim_comes_to_its_new_pool_when_it_is_released():
    before = existing_of(node_contents("a", inner=[]))
    made = wanted(pool(NODE), pool(INNER, "a"), marks=Marks(held=frozenset({(NODE, "a")})))
    contents = made.contents(before)
    assert found(contents) == {NODE: ["a*"], INNER: []}
    _, after = written(before, contents)
    made.marks = Marks
    contents = made.contents(after)
    assert found(contents) == {NODE: [], INNER: ["a"]}
    written(after, contents)


def test_a_pool_with_a_fault_stays_as_it_is_and_keeps_its_devices():
    made = wanted(pool(NODE, "a"), pool(INNER, "b"))
    before = existing_of(made.contents([]))
    made.set([pool(NODE, "a", "b", "c")], {INNER})
    assert found(made.contents(before)) == {NODE: ["a", "c"], INNER: ["b"]}
    fresh = wanted()  # of a new process, which has never had a wish for it
    fresh.set([pool(NODE, "a", "b", "c")], {INNER})
    contents = fresh.contents(before)
    assert contents[INNER] is None
    assert found(contents) == {NODE: ["a", "c"]}


def test_a_vanished_device_of_a_fabric_is_still_reached_by_whom_it_was():
    rack = Nodes(labels={"rack": "a"})
    per_device = pool("fabric", Device("a", nodes=rack), Device("b", nodes=Nodes()))
    before = existing_of(slice_contents([per_device]), None)
    held = Marks(held=frozenset({("fabric", "a")}))
    gone = wanted(node="", marks=held).contents(before)
    assert gone["fabric"][0]["perDeviceNodeSelection"] is True
    assert "nodeSelector" in gone["fabric"][0]["devices"][0]
    now_shared = wanted(pool("fabric", "b", nodes=Nodes()), node="", marks=held).contents(before)
    assert now_shared["fabric"][0]["allNodes"] is True
    assert "nodeSelector" not in now_shared["fabric"][0]["devices"][1]
    forgotten = wanted(per_device, node="", marks=Marks(held=frozenset({("fabric", "z")})))
    assert forgotten.contents([])["fabric"][0]["devices"][2]["allNodes"] is True


def test_counter_sets_belong_to_their_pool():
    sets = (CounterSet("s", {"m": "1"}),)
    contents = wanted(pool(NODE, "a", counter_sets=sets), pool(INNER, "b")).contents([])
    assert ["sharedCounters" in c for c in contents[NODE]] == [True, False]
    assert ["sharedCounters" in c for c in contents[INNER]] == [False]
