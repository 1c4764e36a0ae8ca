"""Configuration for a driver, opaque to Kubernetes: a driver name and a JSON object."""

from __future__ import annotations

from typing import Any

import msgspec

from pydra_testbed.api._causes import Causes, invalid, required, too_long
from pydra_testbed.api._names import driver_name
from pydra_testbed.api._received import Sent
from pydra_testbed.objects import KubeObject

PARAMETERS_MAX = 10 * 1024


def configuration(field: str, entry: KubeObject) -> Causes:
    """The `opaque` part of a configuration entry."""
    opaque = entry.get("opaque")
    path = f"{field}.opaque"
    if opaque is None:
        return [required(path)]
    found = driver_name(f"{path}.driver", opaque.get("driver", ""))
    return found + raw_object(f"{path}.parameters", opaque.get("parameters"), PARAMETERS_MAX)


def raw_object(field: str, value: Any, limit: int) -> Causes:
    """A JSON object of at most `limit` bytes, spaces included where the text that was sent is known."""
    if value is None:
        return [required(field)]
    size = value.size if isinstance(value, Sent) else 0
    if (size or len(msgspec.json.encode(value))) > limit:
        return [too_long(field, limit)]
    if not isinstance(value, dict):
        return [invalid(field, "<value omitted>", "must be a valid JSON object")]
    return []
