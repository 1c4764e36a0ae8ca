"""The teaching driver `dra.pizza`: pizzas as devices, the whole flow with no hardware."""

from pydra_core import main as _main
from pydra_pizza.driver import Order, PizzaDriver

__all__ = ["Order", "PizzaDriver", "main"]


def main() -> None:
    """Run `pydra-pizza`: the commands of a driver's own program."""
    _main(PizzaDriver)
