"""Values that a structural schema fills in; called before a custom resource is judged."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


def fill_in(value: Any, schema: Mapping[str, Any]) -> None:
    """Set every default whose field is absent, or null where null is not allowed, in place."""
    if isinstance(value, dict):
        known, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, child in known.items():
            if "default" in child and _is_missing(value, key, child):
                value[key] = copy.deepcopy(child["default"])
        for key, item in value.items():
            below = known.get(key, rest)
            if isinstance(below, dict):
                fill_in(item, below)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            fill_in(item, schema["items"])


def _is_missing(value: dict[str, Any], key: str, schema: Mapping[str, Any]) -> bool:
    return key not in value or (value[key] is None and not schema.get("nullable"))
