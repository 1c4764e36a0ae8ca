"""What the kitchen bakes: the "hardware" of this driver."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pizza:
    """One pizza of eight slices; `toppings` are asked for one by one, so each is a word of its own."""

    name: str
    dough: str
    sauce: str
    cheese: str
    toppings: tuple[str, ...]
    vegetarian: bool
    extra_cheese_available: bool = False
    slices: int = 8


MENU = (
    Pizza("margherita", "thin", "tomato", "mozzarella", ("basil",), vegetarian=True),
    Pizza("diavola", "thin", "tomato", "mozzarella", ("salami", "chili"), vegetarian=False),
    Pizza(
        "giardino", "wholegrain", "tomato", "mozzarella", ("mushrooms", "basil"), vegetarian=True,
        extra_cheese_available=True,
    ),
    Pizza("capricciosa", "thin", "tomato", "mozzarella", ("ham", "mushrooms", "olives"), vegetarian=False),
    Pizza(
        "bianca", "thick", "cream", "pecorino", ("spinach", "olives"), vegetarian=True,
        extra_cheese_available=True,
    ),
)  # fmt: skip
