from __future__ import annotations

import os

import pytest

from pydra_core import (
    Capacity,
    Consumption,
    CounterSet,
    Device,
    Inventory,
    RequestPolicy,
    Taint,
    ValidRange,
    Version,
)
from pydra_core._api.pools import local_pools
from pydra_core._api.render import slice_contents
from pydra_core._api.rules import check, is_driver_name
from pydra_core.errors import InventoryError

RANGE = RequestPolicy(default="8", valid_range=ValidRange(minimum="1", maximum="8", step="1"))


def device(**kwargs):
    return Device("card-0", **kwargs)


@pytest.mark.parametrize(
    ("inventory", "says"),
    [
        (Inventory(Device("Card_0")), "DNS label"),
        (Inventory(Device("x" * 64)), "DNS label"),
        (Inventory(Device("a"), Device("a")), "appears 2 times"),
        (Inventory(device(attributes={"gpu-model": "x"})), "no dashes"),
        (Inventory(device(attributes={"x" * 33: "x"})), "C identifier"),
        (Inventory(device(attributes={"Not_A_Domain/x": "x"})), "its domain"),
        (Inventory(device(attributes={"a": "é" * 33})), "66 bytes"),
        (Inventory(device(attributes={"a": os.fsdecode(b"SN\xff")})), "no Unicode text"),
        (Inventory(device(attributes={"a": 2**63})), "64 bits"),
        (Inventory(device(attributes={"a": 1.5})), "float is not"),
        (Inventory(device(attributes={"a": Version("535.086.10")})), "no semantic version"),
        (Inventory(device(attributes={"a": Version("12.4")})), "no semantic version"),
        (Inventory(device(attributes={"a": Version("1\u0662.4.0")})), "no semantic version"),
        (Inventory(device(attributes={f"a{i}": i for i in range(33)})), "33 attributes"),
        (Inventory(device(capacity={"memory": "16 GB"})), "no quantity"),
        (Inventory(device(capacity={"slices": Capacity("8", RANGE)})), "needs a shareable device"),
        (
            Inventory(
                device(
                    shareable=True,
                    capacity={"s": Capacity("8", RequestPolicy(valid_values=("1",)))},
                )
            ),
            "needs a default",
        ),
        (Inventory(device(taints=(Taint(key="a/b", effect="Avoid"),))), "'Avoid' is not"),
        (Inventory(device(consumes=(Consumption("none", {"m": "1"}),))), "'none' does not exist"),
        (
            Inventory(
                device(consumes=(Consumption("s", {"x": "1"}),)),
                counter_sets=(CounterSet("s", {"m": "1"}),),
            ),
            "no counter 'x'",
        ),
        (Inventory(counter_sets=(CounterSet("s", {}),)), "0 counters"),
    ],
)
def test_a_broken_limit_is_named_with_its_device(inventory, says):
    with pytest.raises(InventoryError, match=says):
        check(inventory)


def test_all_faults_are_reported_at_once():
    with pytest.raises(InventoryError) as caught:
        check(Inventory(Device("A"), Device("B"), device(attributes={"a": 2**70})))
    assert len(caught.value.fields["faults"]) == 3


def test_everything_the_api_knows_is_rendered_as_it_spells_it():
    inventory = Inventory(
        device(
            attributes={"index": 1, "healthy": True, "model": "A1", "driver": Version("550.54.15")},
            capacity={"memory": 16 << 30, "slices": Capacity("8", RANGE)},
            shareable=True,
            taints=(Taint(key="acme.example/hot", value="yes"),),
            consumes=(Consumption("set", {"mem": "1024Mi"}),),
        ),
        counter_sets=(CounterSet("set", {"mem": "40Gi"}),),
    )
    check(inventory)
    (contents,) = slice_contents(local_pools(inventory, "node-1"), "node-1").values()
    assert contents == [
        {
            "nodeName": "node-1",
            "sharedCounters": [{"name": "set", "counters": {"mem": {"value": "40Gi"}}}],
        },
        {
            "nodeName": "node-1",
            "devices": [
                {
                    "name": "card-0",
                    "attributes": {
                        "index": {"int": 1},
                        "healthy": {"bool": True},
                        "model": {"string": "A1"},
                        "driver": {"version": "550.54.15"},
                    },
                    "capacity": {
                        "memory": {"value": "17179869184"},
                        "slices": {
                            "value": "8",
                            "requestPolicy": {
                                "default": "8",
                                "validRange": {"min": "1", "max": "8", "step": "1"},
                            },
                        },
                    },
                    "allowMultipleAllocations": True,
                    "consumesCounters": [
                        {"counterSet": "set", "counters": {"mem": {"value": "1Gi"}}}
                    ],
                    "taints": [{"key": "acme.example/hot", "effect": "NoSchedule", "value": "yes"}],
                }
            ],
        },
    ]


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("dra.pizza", True),
        ("nvidia.com/gpu", False),
        ("A.b", False),
        ("a" * 64, False),
        ("3com.example", False),
    ],
)
def test_driver_names(name, valid):
    assert is_driver_name(name) is valid
