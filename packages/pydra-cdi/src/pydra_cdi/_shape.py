"""Types of the fields of a spec built in Python: whether they are what the model says; quick when they are.

`validation` and the builder ask it about values whose types nobody has checked.
"""

from __future__ import annotations

import msgspec

from pydra_cdi.errors import Fault
from pydra_cdi.model import ENCODER, Spec


def type_faults(spec: Spec) -> list[Fault]:
    """Find fields of a spec built in Python that hold values of the wrong type."""
    try:
        same = msgspec.json.decode(ENCODER.encode(spec), type=Spec) == spec
    except (TypeError, ValueError, msgspec.ValidationError) as error:
        remedy = "use only strings, integers and parts of a spec"
        return _faults(spec) or [Fault("", str(error), remedy)]
    return [] if same else _faults(spec)


def _faults(spec: Spec) -> list[Fault]:
    from pydra_cdi import _types  # noqa: PLC0415 - lazy: it costs the import time of msgspec.inspect, for faults only

    return _types.faults_of(spec)


def describe(value: object) -> str:
    """Name a value in the words of JSON."""
    match value:
        case None:
            return "null"
        case bool() | int() | float():
            return f"the {type(value).__name__} {value}"
        case str():
            return f"the string {value[:40]!r}"
        case dict():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return f"a Python {type(value).__name__}"
