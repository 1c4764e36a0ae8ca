"""The allocator alone: limits of the search, and why devices were refused."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest

from pydra_testbed.scheduler import (
    Allocated,
    AllocationError,
    AllocationInput,
    Reason,
    Refused,
    allocate,
)
from pydra_testbed.scheduler.model import Node
from pydra_testbed.scheduler.parsing import parse_claim, parse_class, parse_in_use, parse_slice
from pydra_testbed.scheduler.pools import Inventory

DRIVER = "gpu.example.com"


def slice_of(*devices, name="s1", pool="n1", count=1, **spec):
    body = {
        "driver": DRIVER,
        "nodeName": "n1",
        "pool": {"name": pool, "generation": 1, "resourceSliceCount": count},
        "devices": list(devices),
    }
    return parse_slice({"metadata": {"name": name}, "spec": body | spec})


def claim_of(*requests, name="c1", **spec):
    devices = {"requests": list(requests), **spec}
    return parse_claim(
        {"metadata": {"name": name, "namespace": "default"}, "spec": {"devices": devices}}
    )


def exactly(name="r", **request):
    return {"name": name, "exactly": {"deviceClassName": "gpu", **request}}


def task(slices, *claims, in_use=()):
    classes = {"gpu": parse_class({"metadata": {"name": "gpu"}, "spec": {}})}
    held = [
        {
            "status": {
                "allocation": {
                    "devices": {"results": [{"driver": DRIVER, "pool": "n1", "device": name}]}
                }
            }
        }
        for name in in_use
    ]
    return AllocationInput(Node("n1"), claims, classes, Inventory(slices), parse_in_use(held))


def devices(result):
    assert isinstance(result, Allocated)
    return [
        [r["device"] for r in claim.allocation["devices"]["results"]] for claim in result.claims
    ]


class Sink:
    def __init__(self):
        self.refusals = []

    def refused(self, refusal):
        self.refusals.append(refusal)


def refusals(work):
    sink = Sink()
    with suppress(AllocationError):
        allocate(work, sink)
    return {(r.device.name if r.device else r.pool, r.reason, r.detail) for r in sink.refusals}


def test_a_thousand_devices_are_no_matter_of_recursion():
    pools = [
        slice_of(*({"name": f"d{i}"} for i in range(32)), name=f"s{p}", pool=f"p{p:02}")
        for p in range(32)
    ]
    claims = [claim_of(exactly(count=32), name=f"c{i}") for i in range(32)]
    assert sum(map(len, devices(allocate(task(pools, *claims))))) == 1024


def test_a_claim_never_gets_more_results_than_it_can_hold():
    pool = slice_of(*({"name": f"d{i}"} for i in range(40)))
    with pytest.raises(
        AllocationError, match=r"requested devices 33 exceeds the claim limit of 32"
    ):
        allocate(task([pool], claim_of(exactly(count=33))))


def test_pools_with_binding_conditions_come_last():
    bound = {"name": "d0", "bindingConditions": ["ready"], "bindingFailureConditions": ["failed"]}
    pools = [slice_of(bound, name="s1", pool="a"), slice_of({"name": "d1"}, name="s2", pool="b")]
    assert devices(allocate(task(pools, claim_of(exactly())))) == [["d1"]]


def test_devices_in_use_on_other_nodes_use_up_the_counters_of_their_pool():
    def partition(name, node):
        uses = {"counterSet": "g", "counters": {"m": {"value": "1"}}}
        device = {"name": name, "consumesCounters": [uses]}
        return slice_of(device, name=f"s-{name}", count=3, nodeName=node)

    counters = slice_of(
        name="s0", count=3, sharedCounters=[{"name": "g", "counters": {"m": {"value": "1"}}}]
    )
    slices = [counters, partition("d0", "n1"), partition("d1", "n2")]
    assert devices(allocate(task(slices, claim_of(exactly())))) == [["d0"]]
    assert refusals(task(slices, claim_of(exactly()), in_use=["d1"])) == {
        ("d0", Reason.COUNTER, "")
    }


def test_a_pool_whose_newer_generation_is_elsewhere_is_not_here():
    old = slice_of({"name": "d0"}, count=2)
    pool = {"name": "n1", "generation": 2, "resourceSliceCount": 1}
    moved = parse_slice(
        {
            "metadata": {"name": "s2"},
            "spec": {"driver": DRIVER, "nodeName": "n2", "pool": pool, "devices": []},
        }
    )
    assert refusals(task([old], claim_of(exactly()))) == {
        (f"{DRIVER}/n1", Reason.POOL_INCOMPLETE, "")
    }
    assert refusals(task([old, moved], claim_of(exactly()))) == set()


def test_alternatives_that_need_too_many_devices_are_skipped():
    pool = slice_of(*({"name": f"d{i}"} for i in range(60)))
    large = {"name": "large", "deviceClassName": "gpu", "count": 13}  # one too many
    small = {"name": "small", "deviceClassName": "gpu", "count": 2}
    claim = claim_of(exactly("base", count=20), {"name": "more", "firstAvailable": [large, small]})
    result = allocate(task([pool], claim))
    assert len(devices(result)[0]) == 22
    assert result.claims[0].allocation["devices"]["results"][-1]["request"] == "more/small"


def test_a_search_without_end_is_given_up():
    pool = slice_of(*({"name": f"d{i}"} for i in range(60)))
    never = {"selectors": [{"cel": {"expression": "false"}}]}
    claim = claim_of(exactly("a", count=20), exactly("b", **never))
    assert allocate(task([pool], claim)) == Refused("timed out trying to allocate devices")


def test_a_later_claim_makes_an_earlier_one_choose_again():
    pool = slice_of(
        {"name": "d0", "attributes": {"big": {"bool": True}}},
        {"name": "d1", "attributes": {"big": {"bool": False}}},
    )
    big = exactly(selectors=[{"cel": {"expression": f'device.attributes["{DRIVER}"].big'}}])
    claims = (claim_of(exactly()), claim_of(big, name="c2"))
    assert devices(allocate(task([pool], *claims))) == [["d1"], ["d0"]]


def test_share_ids_are_lowercase_uuids_and_all_different():
    pool = slice_of({"name": "d0", "allowMultipleAllocations": True})
    claims = [claim_of(exactly(), name=f"c{i}") for i in range(3)]
    result = allocate(task([pool], *claims))
    ids = [c.allocation["devices"]["results"][0]["shareID"] for c in result.claims]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", share) for share in ids)


def test_each_refusal_says_which_device_and_why():
    pool = slice_of(
        {"name": "used"},
        {"name": "tainted", "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]},
        {"name": "small", "capacity": {"memory": {"value": "1Gi"}}},
        {"name": "without"},
        {"name": "bound", "bindingConditions": ["ready"], "bindingFailureConditions": ["failed"]},
    )
    claim = claim_of(
        exactly(
            count=2,
            selectors=[{"cel": {"expression": f'"memory" in device.capacity["{DRIVER}"]'}}],
            capacity={"requests": {"memory": "2Gi"}},
        )
    )
    assert refusals(task([pool], claim, in_use=["used"])) == {
        ("used", Reason.IN_USE, ""),
        ("tainted", Reason.SELECTOR_FALSE, "claim default/c1: selector #0"),
        ("small", Reason.CAPACITY, ""),
        ("without", Reason.SELECTOR_FALSE, "claim default/c1: selector #0"),
        ("bound", Reason.SELECTOR_FALSE, "claim default/c1: selector #0"),
    }


def test_taints_constraints_counters_and_errors_are_refusals_too():
    tainted = slice_of(
        {"name": "d0", "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}
    )
    assert refusals(task([tainted], claim_of(exactly()))) == {
        ("d0", Reason.TAINT, "k=v:NoSchedule")
    }
    odd = slice_of(
        {"name": "d0", "attributes": {"numa": {"int": 0}}},
        {"name": "d1", "attributes": {"numa": {"int": 1}}},
    )
    same = [{"matchAttribute": f"{DRIVER}/numa"}]
    assert ("d1", Reason.CONSTRAINT, f"{DRIVER}/numa") in refusals(
        task([odd], claim_of(exactly(count=2), constraints=same))
    )
    counters = slice_of(
        name="s0", count=2, sharedCounters=[{"name": "g", "counters": {"m": {"value": "1"}}}]
    )
    needs = {"counterSet": "g", "counters": {"m": {"value": "2"}}}
    partition = slice_of({"name": "d0", "consumesCounters": [needs]}, count=2)
    assert refusals(task([counters, partition], claim_of(exactly()))) == {
        ("d0", Reason.COUNTER, "")
    }
    broken = claim_of(exactly(selectors=[{"cel": {"expression": 'device.attributes["a"].x'}}]))
    assert refusals(task([odd], broken)) == {
        (
            "d0",
            Reason.SELECTOR_ERROR,
            "claim default/c1: selector #0: CEL runtime error: no such key: x",
        )
    }


def test_pools_that_cannot_be_used_are_named():
    incomplete = slice_of({"name": "d0"}, count=2)
    twice = [slice_of({"name": "d0"}, name=f"t{i}", pool="twice", count=2) for i in range(2)]
    work = task([incomplete, *twice], claim_of(exactly()))
    assert refusals(work) == {
        (f"{DRIVER}/n1", Reason.POOL_INCOMPLETE, ""),
        (f"{DRIVER}/twice", Reason.POOL_INVALID, "duplicate device name d0"),
    }
    assert allocate(work) == Refused("invalid resource pools were encountered")
