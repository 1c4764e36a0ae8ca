from __future__ import annotations

import copy

import pytest

from pydra_core import Consumption, CounterSet, Device, Taint
from pydra_core._api.gates import GATES, dropped_error, dropped_fields, without
from pydra_core._api.rivals import Rivals, managers
from pydra_core._api.wanted import Marks, Wanted
from pydra_core.values import Nodes, Pool

DRIVER = "card.acme.example"
NODE = "node-1"
SICK = Taint(key=f"{DRIVER}/unhealthy", value="Hot")
SICK_BODY = {"key": SICK.key, "effect": "NoSchedule", "value": "Hot"}


def wanted(*names, may_taint=False, marks=None, **kwargs):
    made = Wanted(DRIVER, NODE, may_taint=may_taint)
    made.set([Pool(NODE, tuple(Device(n, **kwargs) for n in names))])
    made.marks = lambda: marks or Marks()
    return made


def slices(*devices):
    return [{"spec": {"pool": {"name": NODE}, "nodeName": NODE, "devices": list(devices)}}]


def devices(contents, pool=NODE):
    return {d["name"]: d for c in contents[pool] for d in c.get("devices", [])}


def sizes(contents):
    return [len(c["devices"]) for c in contents[NODE]]


def test_nothing_is_wanted_before_the_first_discovery():
    assert Wanted(DRIVER).contents([]) is None


def test_a_mark_taints_one_device_and_only_its_block_is_cut_in_two():
    names = [f"card-{n}" for n in range(300)]
    made = wanted(*names, marks=Marks(taints={(NODE, "card-200"): (SICK,)}))
    contents = made.contents([])
    assert sizes(contents) == [128, 64, 64, 44]
    assert devices(contents)["card-200"]["taints"] == [SICK_BODY]
    assert made.tainted == 1


def test_slices_of_a_driver_that_watches_health_have_room_for_taints_from_the_start():
    names = [f"card-{n}" for n in range(150)]
    well = wanted(*names, may_taint=True)
    sick = wanted(*names, may_taint=True, marks=Marks(taints={(NODE, "card-5"): (SICK,)}))
    assert sizes(well.contents([])) == sizes(sick.contents([])) == [64, 64, 22]


def test_the_framework_s_taints_come_before_the_driver_s_own_and_sixteen_are_kept():
    own = tuple(Taint(key=f"acme.example/{n}") for n in range(16))
    made = wanted("card-0", taints=own, marks=Marks(taints={(NODE, "card-0"): (SICK,)}))
    found = devices(made.contents([]))["card-0"]["taints"]
    assert len(found) == 16
    assert found[:2] == [SICK_BODY, {"key": "acme.example/0", "effect": "NoSchedule"}]


def test_a_taint_of_an_earlier_process_stays_until_somebody_has_looked():
    timed = SICK_BODY | {"timeAdded": "2026-01-01T00:00:00Z"}
    existing = slices({"name": "card-0", "taints": [timed, {"key": "x/y", "effect": "None"}]})
    unobserved = wanted("card-0", marks=Marks(is_unobserved=lambda _: True))
    assert devices(unobserved.contents(existing))["card-0"]["taints"] == [SICK_BODY]
    assert "taints" not in devices(wanted("card-0").contents(existing))["card-0"]


def test_a_vanished_device_in_the_hands_of_a_claim_stays_tainted_as_it_was_published():
    held = Marks(held=frozenset({(NODE, "card-9")}))
    existing = slices({"name": "card-9", "attributes": {"index": {"int": 9}}})
    made = wanted("card-0", marks=held)
    gone = {
        "name": "card-9",
        "attributes": {"index": {"int": 9}},
        "taints": [{"key": f"{DRIVER}/gone", "effect": "NoSchedule"}],
    }
    assert devices(made.contents(existing))["card-9"] == gone
    assert devices(made.contents([]))["card-9"] == gone  # after a wipe it is remembered
    made.marks = Marks
    assert "card-9" not in devices(made.contents(existing))


def test_a_vanished_device_draws_on_no_counters_that_vanished_with_it():
    held = Marks(held=frozenset({(NODE, "a"), (NODE, "b")}))
    existing = slices(
        {"name": "a", "consumesCounters": [{"counterSet": "old", "counters": {}}]},
        {"name": "b", "consumesCounters": [{"counterSet": "set", "counters": {}}]},
    )
    made = Wanted(DRIVER, NODE)
    made.set([Pool(NODE, counter_sets=(CounterSet("set", {"m": "1"}),))])
    made.marks = lambda: held
    found = devices(made.contents(existing))
    assert "consumesCounters" not in found["a"]
    assert found["b"]["consumesCounters"] == [{"counterSet": "set", "counters": {}}]


def test_what_the_server_dropped_is_named_with_its_gate_and_not_wanted_again():
    made = wanted("card-0", marks=Marks(taints={(NODE, "card-0"): (SICK,)}))
    (content,) = made.contents([])[NODE]
    sent = {"metadata": {"name": "s"}, "spec": content}
    stored = copy.deepcopy(sent)
    del stored["spec"]["devices"][0]["taints"]
    error = made.adopt(sent, stored)
    assert error.fields["gates"] == ("DRADeviceTaints",)
    assert "spec.devices[].taints (feature gate DRADeviceTaints)" in str(error)
    assert made.contents([]) == {NODE: [stored["spec"]]}
    assert made.adopt({**sent, "spec": stored["spec"]}, stored) is None


def test_every_gated_field_the_framework_can_send_is_found_when_dropped():
    rack = Nodes(labels={"rack": "a"})
    pool = Pool(
        "rack-a",
        (
            Device(
                "card-0",
                shareable=True,
                taints=(SICK,),
                consumes=(Consumption("s", {"m": "1"}),),
                nodes=rack,
            ),
        ),
        (CounterSet("s", {"m": "1"}),),
    )
    made = Wanted(DRIVER)
    made.set([pool])
    counters, cards = made.contents([])["rack-a"]
    bare = {"devices": [{"name": "card-0"}]}
    fields = dropped_fields(cards, bare) | dropped_fields(counters, {})
    assert {GATES[f] for f in fields} == {
        "DRADeviceTaints", "DRAConsumableCapacity", "DRAPartitionableDevices",
    }  # fmt: skip
    assert without(cards, fields) == bare


@pytest.mark.parametrize(
    ("sent", "stored", "fields"),
    [
        ({"devices": []}, {}, set()),
        ({"devices": [{"capacity": {"a": {"requestPolicy": {"default": "1"}, "value": "1"}}}]},
         {"devices": [{"capacity": {"a": {"value": "1"}}}]},
         {"spec.devices[].capacity[].requestPolicy"}),
        ({"devices": [{"attributes": {"x/strings": {"strings": ["a"]}}}]},
         {"devices": [{"attributes": {"x/strings": {}}}]},
         {"spec.devices[].attributes[].strings"}),
        ({"devices": [{"new": 1}]}, {"devices": [{}]}, {"spec.devices[].new"}),
    ],
)  # fmt: skip
def test_dropped_fields_are_found_at_any_depth(sent, stored, fields):
    assert dropped_fields(sent, stored) == fields


def test_a_field_of_no_known_gate_is_of_a_newer_kubernetes():
    assert "spec.devices[].new (of a newer Kubernetes)" in str(
        dropped_error("s", ["spec.devices[].new"])
    )


def test_five_corrections_in_a_minute_are_once_too_often():
    rivals = Rivals()
    assert [rivals.corrected(t) for t in (0, 1, 2, 3, 4)] == [False] * 4 + [True]
    assert rivals.pause(4) == 60
    assert rivals.pause(64) == 0
    assert [rivals.corrected(t) for t in (65, 66, 67, 68, 69)] == [False] * 4 + [True]
    assert rivals.pause(69) == 120
    assert not any(Rivals().corrected(t) for t in range(0, 1000, 20))


def test_the_other_publisher_is_known_by_its_field_manager():
    body = {"metadata": {"managedFields": [{"manager": "pydra-core"}, {"manager": "old-driver"}]}}
    assert managers([body, {"metadata": {}}], "pydra-core") == ("old-driver",)
