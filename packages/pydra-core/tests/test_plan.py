from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydra_core import Device, Inventory, Taint
from pydra_core._api.plan import Owner, plan, slice_name
from pydra_core._api.pools import local_pools
from pydra_core._api.render import slice_contents

NODE = Owner("node-1", "uid-1")
DRIVER = "card.acme.example"


def contents(*names, **kwargs):
    return of(Inventory(*(Device(n, **kwargs) for n in names)))


def of(inventory):
    return slice_contents(local_pools(inventory, NODE.name), NODE.name)


def apply(existing, writes):
    """What the API holds after the writes, as the server would store it."""
    state = {e["metadata"]["name"]: e for e in existing}
    for write in writes:
        name = write.body["metadata"]["name"]
        if write.verb == "delete":
            del state[name]
        else:
            state[name] = write.body
    return list(state.values())


def published(desired, newest=0):
    return apply([], plan([], desired, DRIVER, NODE, {NODE.name: newest}))


def verbs(writes):
    return [w.verb for w in writes]


def pools(existing):
    return {
        (e["spec"]["pool"]["generation"], e["spec"]["pool"]["resourceSliceCount"]) for e in existing
    }


def test_the_first_publication_creates_one_slice_owned_by_the_node():
    (write,) = plan([], contents("card-0"), DRIVER, NODE)
    assert write.verb == "create"
    assert write.body["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert write.body["spec"] == {
        "driver": DRIVER,
        "nodeName": "node-1",
        "pool": {"name": "node-1", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "card-0"}],
    }


def test_an_unchanged_inventory_writes_nothing():
    existing = published(contents("card-0", "card-1"))
    assert plan(existing, contents("card-0", "card-1"), DRIVER, NODE) == []


def test_a_changed_slice_keeps_the_generation():
    existing = published(contents("card-0"))
    writes = plan(existing, contents("card-0", "card-1"), DRIVER, NODE)
    assert verbs(writes) == ["update"]
    assert pools(apply(existing, writes)) == {(1, 1)}


def test_the_order_of_devices_is_a_change():
    existing = published(contents("card-0", "card-1"))
    assert verbs(plan(existing, contents("card-1", "card-0"), DRIVER, NODE)) == ["update"]


def test_129_devices_make_two_slices_of_one_generation_and_count():
    existing = published(contents(*(f"card-{i}" for i in range(129))))
    assert [len(e["spec"]["devices"]) for e in existing] == [128, 1]
    assert pools(existing) == {(1, 2)}


def test_growing_by_a_slice_moves_all_slices_to_the_next_generation():
    names = [f"card-{i}" for i in range(129)]
    existing = published(contents(*names[:128]))
    writes = plan(existing, contents(*names), DRIVER, NODE)
    assert verbs(writes) == ["update", "create"]
    assert pools(apply(existing, writes)) == {(2, 2)}


def test_a_taint_in_a_full_slice_splits_it_at_64():
    names = [f"card-{i}" for i in range(128)]
    existing = published(contents(*names))
    devices = [
        Device(n, taints=(Taint(key="acme.example/hot"),) if n == "card-5" else ()) for n in names
    ]
    after = apply(existing, plan(existing, of(Inventory(*devices)), DRIVER, NODE))
    assert [len(e["spec"]["devices"]) for e in after] == [64, 64]
    assert pools(after) == {(2, 2)}


def test_the_time_the_server_sets_on_a_taint_is_no_change():
    desired = of(Inventory(Device("card-0", taints=(Taint(key="acme.example/hot"),))))
    existing = published(desired)
    stored = [
        {
            **e,
            "spec": {
                **e["spec"],
                "devices": [
                    {
                        **d,
                        "taints": [{**t, "timeAdded": "2026-01-01T00:00:00Z"} for t in d["taints"]],
                    }
                    for d in e["spec"]["devices"]
                ],
            },
        }
        for e in existing
    ]
    assert plan(stored, desired, DRIVER, NODE) == []


def test_a_slice_of_another_naming_beside_ours_costs_one_delete():
    existing = published(contents("card-0"))
    foreign = copy.deepcopy(existing[0])
    foreign["metadata"]["name"] = "00000-old"
    assert verbs(plan([foreign, *existing], contents("card-0"), DRIVER, NODE)) == ["delete"]


def test_slices_of_unequal_generations_all_move_to_the_next():
    """Else the pool were whole for a moment, with a slice that is yet to be changed."""
    desired = contents(*(f"card-{i}" for i in range(200)))
    existing = published(desired)
    existing[1]["spec"]["pool"]["generation"] = 2
    existing[1]["spec"]["devices"] = existing[1]["spec"]["devices"][:5]
    assert pools(apply(existing, plan(existing, desired, DRIVER, NODE))) == {(3, 2)}


def hot(*names, effect="NoExecute"):
    taint = Taint(key="acme.example/hot", effect=effect)
    return of(Inventory(*(Device(n, taints=(taint,) if n in names else ()) for n in CARDS)))


CARDS = [f"card-{i}" for i in range(65)]


def at(existing, hour):
    """The slices as a server stores them: taints without a time get the present one."""
    time = f"2026-01-01T{hour:02}:00:00Z"
    stored = copy.deepcopy(existing)
    for device in (d for body in stored for d in body["spec"]["devices"]):
        for taint in device.get("taints", ()):
            taint.setdefault("timeAdded", time)
    return stored


def times(existing):
    """When each device was tainted, in hours."""
    devices = [d for body in existing for d in body["spec"]["devices"]]
    return {d["name"]: int(t["timeAdded"][11:13]) for d in devices for t in d.get("taints", ())}


def test_a_taint_keeps_its_time_when_another_device_changes():
    """A pod that tolerates NoExecute for a while is evicted in time, however often its neighbours flap."""
    stored = at(published(hot("card-0", "card-3")), 1)
    wish = hot("card-0", "card-1")
    stored = at(apply(stored, plan(stored, wish, DRIVER, NODE)), 2)
    assert times(stored) == {"card-0": 1, "card-1": 2}
    wish = hot("card-0", "card-3")
    assert times(at(apply(stored, plan(stored, wish, DRIVER, NODE)), 3)) == {
        "card-0": 1, "card-3": 3,
    }  # fmt: skip


def test_a_taint_keeps_its_time_when_its_device_comes_to_another_slice():
    stored = at(published(hot("card-64")), 1)
    wish = of(Inventory(*(Device(n) for n in CARDS[:-2]), *hot_devices("card-64")))
    assert times(at(apply(stored, plan(stored, wish, DRIVER, NODE)), 2)) == {"card-64": 1}


def hot_devices(*names):
    return [Device(n, taints=(Taint(key="acme.example/hot", effect="NoExecute"),)) for n in names]


def test_a_taint_of_another_effect_is_a_new_one():
    stored = at(published(hot("card-0", effect="NoSchedule")), 1)
    again = at(apply(stored, plan(stored, hot("card-0"), DRIVER, NODE)), 2)
    assert times(again) == {"card-0": 2}


def test_a_slice_somebody_deleted_comes_back_as_it_was():
    desired = contents(*(f"card-{i}" for i in range(200)))
    existing = published(desired)
    writes = plan(existing[1:], desired, DRIVER, NODE, {NODE.name: 1})
    assert verbs(writes) == ["create"]
    assert writes[0].body == existing[0]


def test_after_a_wipe_the_generation_still_grows():
    desired = contents("card-0")
    assert pools(published(desired, newest=7)) == {(8, 1)}


def test_slices_of_another_naming_are_deleted_first():
    existing = published(contents("card-0"))
    foreign = {**existing[0], "metadata": {**existing[0]["metadata"], "name": "00000-old-x7k2p"}}
    writes = plan([foreign], contents("card-0"), DRIVER, NODE)
    assert verbs(writes) == ["delete", "create"]
    assert writes[1].body["spec"]["pool"]["generation"] == 2


def test_a_node_recreated_under_its_name_owns_the_slices_anew():
    existing = published(contents("card-0"))
    (write,) = plan(existing, contents("card-0"), DRIVER, Owner("node-1", "uid-2"))
    assert write.verb == "update"
    assert write.body["metadata"]["ownerReferences"][0]["uid"] == "uid-2"


def test_an_empty_inventory_is_one_empty_slice():
    (only,) = published(contents())
    assert only["spec"]["devices"] == []


def test_names_sort_as_their_indexes_and_fit():
    pool = "n" * 250
    names = [slice_name(pool, DRIVER, i) for i in (0, 1, 15, 16, 255)]
    assert names == sorted(names)
    assert all(len(n) <= 253 for n in names)
    assert slice_name("n" * 249 + "x", DRIVER, 0) != names[0]


@pytest.mark.parametrize("count", [0, 1, 128, 129, 300])
def test_a_second_plan_after_the_first_is_empty(count):
    desired = contents(
        *(f"card-{i}" for i in range(count)),
        attributes={"model": "A1"},
        capacity={"memory": 1 << 30},
    )
    assert plan(published(desired), desired, DRIVER, NODE) == []


def usable(existing):
    """The devices a scheduler would use; None while the pool is incomplete."""
    newest = max((e["spec"]["pool"]["generation"] for e in existing), default=0)
    top = [e["spec"] for e in existing if e["spec"]["pool"]["generation"] == newest]
    if not top or {s["pool"]["resourceSliceCount"] for s in top} != {len(top)}:
        return None
    return [d for s in top for d in s["devices"]]


labels = st.lists(st.sampled_from("ab"), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(labels, st.integers(0, 4), st.sets(st.integers(0, 2)), st.booleans()),
        min_size=2,
        max_size=4,
    )
)
def test_whatever_was_interrupted_or_deleted_no_pool_is_whole_that_nobody_wished_for(story):
    existing, newest = [], 0
    for wish, writes_made, deleted, remembers in story:
        devices = [
            [{"name": f"card-{i}", "attributes": {"label": {"string": a}}}]
            for i, a in enumerate(wish)
        ]
        desired = {NODE.name: [{"nodeName": NODE.name, "devices": d} for d in devices]}
        wished, before = [d for each in devices for d in each], usable(existing)
        writes = plan(existing, desired, DRIVER, NODE, {NODE.name: newest if remembers else 0})
        for write in writes[: writes_made or None]:
            existing = sorted(apply(existing, [write]), key=lambda e: e["metadata"]["name"])
            assert usable(existing) in (None, wished, before)
            newest = max([newest, *(e["spec"]["pool"]["generation"] for e in existing)])
        if not writes_made or writes_made >= len(writes):
            assert usable(existing) == wished
            assert plan(existing, desired, DRIVER, NODE) == []
        existing = [e for i, e in enumerate(existing) if i not in deleted]
