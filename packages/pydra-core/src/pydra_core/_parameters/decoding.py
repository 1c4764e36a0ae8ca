"""Parameters as users sent them to the driver's model, strictly: what is wrong is told with its path.

Shapes are asked first, because they know the path of a field that is missing or unknown; msgspec decides last,
with whatever the model checks by itself (`__post_init__`, types that only it knows).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pydra_core._parameters.checking import Fault, faults
from pydra_core._parameters.models import Model, member_of, shape_of

_VALUE = re.compile(r"(Invalid (?:enum )?value) .*?(?= - at `\$|$)", re.DOTALL)
_LONGEST = 300
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ParametersError(ValueError):
    """Parameters that do not fit; the text has the path and never a value."""

    def __init__(self, fault: Fault) -> None:
        self.path = fault.path
        super().__init__(f"at {fault.path}: {fault.says}" if fault.path else fault.says)


def decode(model: Model, parameters: bytes | msgspec.Raw) -> Any:
    """Read JSON into the model.

    Raises:
        ParametersError: the first thing that does not fit.
    """
    try:
        value = msgspec.json.decode(parameters)
        for fault in faults(shape_of(model), value):
            raise ParametersError(fault)
        return msgspec.json.decode(parameters, type=member_of(model, value), strict=True)
    except _UNREADABLE as err:
        message, _, path = _without_values(err).partition(" - at `$")
        raise ParametersError(Fault(path.rstrip("`").lstrip("."), message)) from None


def _without_values(err: Exception) -> str:
    """The error's text without what the user wrote, which may be secret and is nobody's in a log or an event."""
    if isinstance(err, UnicodeDecodeError):
        return "is not UTF-8"
    if isinstance(err, RecursionError):
        return "is nested too deeply"
    text = _VALUE.sub(r"\1", str(err))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
