"""The driver itself: what it finds, and what an ordered pizza changes in a container."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from pydra_cdi import ContainerEdits
from pydra_core import (
    Allocation,
    Capacity,
    Claim,
    ClaimConfigError,
    Device,
    DeviceGoneError,
    DeviceHealth,
    Driver,
    Health,
    HealthPolicy,
    Inventory,
    PreparedDevice,
    RequestPolicy,
    ValidRange,
)
from pydra_core.attributes import Attribute, Schema
from pydra_core.resources import Resource, ResourceDevice
from pydra_pizza.menu import MENU, Pizza

KITCHEN = "kitchen.pizza.example"
OVEN = Path("run/pizza/cold-oven")
_LOOK = 0.5


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Opaque parameters of a claim: how the pizza is wanted."""

    api_version: Literal["dra.pizza/v1"]
    kind: Literal["Order"]
    extra_cheese: bool = False


class PizzaDriver(Driver):
    """Publishes the menu; a whole pizza or some of its slices go to each claim."""

    name = "dra.pizza"
    config = Order
    attributes: ClassVar[Schema] = {
        f"{KITCHEN}/dough": Attribute(type=str, meaning="thin, thick or wholegrain"),
        f"{KITCHEN}/sauce": Attribute(type=str, meaning="what is under the cheese"),
        f"{KITCHEN}/cheese": Attribute(type=str, meaning="which cheese"),
        f"{KITCHEN}/toppings": Attribute(type=str, meaning="all toppings, separated by commas"),
        f"{KITCHEN}/vegetarian": Attribute(type=bool, meaning="neither meat nor fish"),
        f"{KITCHEN}/extraCheeseAvailable": Attribute(
            type=bool, meaning="an order may ask for more"
        ),
        f"{KITCHEN}/slices": Attribute(type=Capacity, meaning="how many to share", unit="slices"),
    }
    health_policy = HealthPolicy(recovers_after=2.0)

    async def discover(self) -> Inventory:
        return Inventory(*(_device(pizza) for pizza in MENU))

    async def watch_health(self) -> AsyncIterator[DeviceHealth]:
        """Look at the oven: while `run/pizza/cold-oven` exists, nothing it names can be baked; empty, nothing at all."""
        while True:
            cold = self._cold()
            for pizza in MENU:
                is_cold = cold is not None and (not cold or pizza.name in cold)
                yield _health(pizza, is_cold=is_cold)
            await asyncio.sleep(_LOOK)

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [a.prepared(ContainerEdits(env=_served(claim, a))) for a in claim.allocations]

    def resources(self, inventory: Inventory) -> Sequence[Resource]:
        """Whole pizzas for pods that make no claims: they ask for a number, and can say neither which nor how."""
        menu = (ResourceDevice(id=pizza.name, devices=(pizza.name,)) for pizza in inventory.devices)
        return [Resource(f"{KITCHEN}/pizza", tuple(menu))]

    def _cold(self) -> list[str] | None:
        """The pizzas the oven is too cold for; None while it is hot."""
        try:
            return (self.host / OVEN).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError):
            return None


def _health(pizza: Pizza, *, is_cold: bool) -> DeviceHealth:
    if not is_cold:
        return DeviceHealth(device=pizza.name, health=Health.HEALTHY)
    return DeviceHealth(
        device=pizza.name,
        health=Health.UNHEALTHY,
        reason="OvenCold",
        message="the oven has gone cold; light it and remove /run/pizza/cold-oven",
    )


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
