"""Quantities live in core, which compares published ones with stored ones; this is the testbed's name for them."""

from pydra_core.quantity import (
    MAX_INT64,
    NANO,
    Format,
    Quantity,
    QuantityError,
    from_int,
    parse,
)

__all__ = ["MAX_INT64", "NANO", "Format", "Quantity", "QuantityError", "from_int", "parse"]
