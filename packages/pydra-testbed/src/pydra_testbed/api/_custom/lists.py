"""What holds between the entries of a list: sets without doubles, maps without equal keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydra_testbed.api._causes import Cause


def doubles(value: Any, schema: Mapping[str, Any], at: str = "") -> Iterator[Cause]:
    """Entries that are there already, at any depth."""
    if isinstance(value, dict):
        known, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, item in value.items():
            below = known.get(key, rest)
            if isinstance(below, dict):
                yield from doubles(item, below, f"{at}.{key}".lstrip("."))
    elif isinstance(value, list):
        yield from _in_list(value, schema, at)
        for index, item in enumerate(value):
            yield from doubles(item, schema.get("items") or {}, f"{at}[{index}]")


def _in_list(value: list[Any], schema: Mapping[str, Any], at: str) -> Iterator[Cause]:
    how = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if how not in {"set", "map"}:
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        known = item
        if how == "map":
            known = (
                {key: item[key] for key in keys if key in item} if isinstance(item, dict) else {}
            )
        text = json.dumps(known, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        if text in seen:
            yield Cause(f"{at}[{index}]", "FieldValueDuplicate", f"Duplicate value: {text}")
        seen.add(text)
