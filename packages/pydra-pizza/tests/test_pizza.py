from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from pydra_core import Allocation, Claim, ClaimConfigError, ClaimRef, DeviceGoneError
from pydra_core._api.rules import check
from pydra_pizza import Order, PizzaDriver

KITCHEN = "kitchen.pizza.example"
EXTRA = Order(api_version="dra.pizza/v1", kind="Order", extra_cheese=True)


def claim(device, *, config=None, consumed=None):
    allocation = Allocation(
        request="pizza", pool="node", device=device, config=config, consumed=consumed or {}
    )
    return Claim(
        ref=ClaimRef(uid="u", namespace="default", name="dinner"), allocations=(allocation,)
    )


async def served(*args, **kwargs):
    (device,) = await PizzaDriver().prepare(claim(*args, **kwargs))
    return dict(entry.split("=", 1) for entry in device.edits.env)


async def test_the_menu_can_be_published():
    inventory = await PizzaDriver().discover()
    check(inventory)
    assert await PizzaDriver().discover() == inventory
    for device in inventory.devices:
        assert set(device.attributes) == {
            f"{KITCHEN}/{name}"
            for name in (
                "dough",
                "sauce",
                "cheese",
                "toppings",
                "vegetarian",
                "extraCheeseAvailable",
            )
        }
        assert device.capacity[f"{KITCHEN}/slices"].value == "8"


async def test_a_whole_pizza_is_eight_slices():
    env = await served("giardino")
    assert env == {
        "PIZZA": "giardino",
        "PIZZA_DOUGH": "wholegrain",
        "PIZZA_SLICES": "8",
        "PIZZA_WITH": "vegetarian, mushrooms, basil",
    }


async def test_a_share_is_the_slices_that_were_allocated():
    assert (await served("giardino", consumed={f"{KITCHEN}/slices": "4"}))["PIZZA_SLICES"] == "4"


async def test_extra_cheese_is_served_where_it_is_available():
    assert (await served("giardino", config=EXTRA))["PIZZA_WITH"].endswith("extra cheese")


async def test_extra_cheese_is_refused_where_it_is_not_with_the_field():
    with pytest.raises(ClaimConfigError, match="extraCheese: diavola comes without") as caught:
        await served("diavola", config=EXTRA)
    assert caught.value.fields["path"] == "extraCheese"


async def test_a_pizza_that_left_the_menu_is_named():
    with pytest.raises(DeviceGoneError, match="'hawaii'"):
        await served("hawaii")


def test_the_program_shows_what_it_would_publish():
    command = [sys.executable, "-m", "pydra_pizza", "discover", "-o", "yaml"]
    shown = subprocess.run(command, capture_output=True, check=True, timeout=30, text=True)
    (body,) = yaml.safe_load_all(shown.stdout)
    assert body["spec"]["driver"] == "dra.pizza"
    assert [d["name"] for d in body["spec"]["devices"]][:2] == ["margherita", "diavola"]
    table = subprocess.run(command[:-2], capture_output=True, check=True, timeout=30, text=True)
    assert "toppings=mushrooms, basil" in " ".join(table.stdout.split())


async def test_pods_without_claims_ask_for_whole_pizzas_by_number():
    driver = PizzaDriver()
    (resource,) = driver.resources(await driver.discover())
    assert resource.name == f"{KITCHEN}/pizza"
    assert [one.id for one in resource.devices][:2] == ["margherita", "diavola"]
    assert all(one.devices == (one.id,) and not one.share for one in resource.devices)
