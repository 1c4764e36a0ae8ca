"""The driver itself: what it finds, and what an ordered pizza changes in a container."""

from __future__ import annotations

from typing import Literal

import msgspec

from pydra_cdi import ContainerEdits
from pydra_core import (
    Allocation,
    Capacity,
    Claim,
    ClaimConfigError,
    Device,
    DeviceGoneError,
    Driver,
    Inventory,
    PreparedDevice,
    RequestPolicy,
    ValidRange,
)
from pydra_pizza.menu import MENU, Pizza

KITCHEN = "kitchen.pizza.example"


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Opaque parameters of a claim: how the pizza is wanted."""

    api_version: Literal["dra.pizza/v1"]
    kind: Literal["Order"]
    extra_cheese: bool = False


class PizzaDriver(Driver):
    """Publishes the menu; a whole pizza or some of its slices go to each claim."""

    name = "dra.pizza"
    config = Order

    async def discover(self) -> Inventory:
        return Inventory(*(_device(pizza) for pizza in MENU))

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [a.prepared(ContainerEdits(env=_served(claim, a))) for a in claim.allocations]


def _device(pizza: Pizza) -> Device:
    whole = str(pizza.slices)
    policy = RequestPolicy(
        default=whole, valid_range=ValidRange(minimum="1", maximum=whole, step="1")
    )
    attributes: dict[str, str | bool] = {
        "dough": pizza.dough,
        "sauce": pizza.sauce,
        "cheese": pizza.cheese,
        "toppings": ", ".join(pizza.toppings),
        "vegetarian": pizza.vegetarian,
        "extraCheeseAvailable": pizza.extra_cheese_available,
    }
    return Device(
        pizza.name,
        attributes={f"{KITCHEN}/{name}": value for name, value in attributes.items()},
        capacity={f"{KITCHEN}/slices": Capacity(whole, policy)},
        shareable=True,
    )


def _served(claim: Claim, allocation: Allocation) -> list[str]:
    pizza = next((p for p in MENU if p.name == allocation.device), None)
    if pizza is None:
        raise DeviceGoneError(
            f"device {allocation.device!r}: is no longer on the menu; delete the claim and order again",
            device=allocation.device,
        )
    order: Order | None = allocation.config
    if order and order.extra_cheese and not pizza.extra_cheese_available:
        raise ClaimConfigError(
            f"claim {claim.ref}: extraCheese: {pizza.name} comes without; ask for extraCheeseAvailable in a selector",
            path="extraCheese",
        )
    cheese = ("extra cheese",) if order and order.extra_cheese else ()
    style = ("vegetarian",) if pizza.vegetarian else ()
    return [
        f"PIZZA={pizza.name}",
        f"PIZZA_DOUGH={pizza.dough}",
        f"PIZZA_SLICES={allocation.consumed.get(f'{KITCHEN}/slices', pizza.slices)}",
        f"PIZZA_WITH={', '.join((*style, *pizza.toppings, *cheese))}",
    ]
