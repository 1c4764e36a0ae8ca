"""A scenario with other names: the same decisions must follow for drivers, devices and nodes nobody recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_PREFIX = "other-"
_PLACES = frozenset(
    {
        "name",
        "device",
        "pool",
        "counterSet",
        "nodeName",
        "scheduled_node",
        "prefer",
        "values",
        "kubernetes.io/hostname",
    }
)


def renamed(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Rename nodes, drivers, pools and devices throughout, keeping their order by name.

    None where such a name also means something else in the scenario.
    """
    specs = [item["spec"] for item in record["slices"]]
    names = {node["name"] for node in record["nodes"]}
    names |= {spec["pool"]["name"] for spec in specs}
    names |= {device["name"] for spec in specs for device in spec.get("devices") or ()}
    named = ("pods", "claims", "deviceClasses", "claimTemplates")
    if names & {item["name"] for kind in named for item in record.get(kind) or ()}:
        return None
    drivers = {spec["driver"]: f"{_PREFIX}{spec['driver']}" for spec in specs}
    text = _replaced(json.dumps(dict(record), ensure_ascii=False), drivers)
    return dict(_walk(json.loads(text), {name: f"{_PREFIX}{name}" for name in names}))


def _replaced(text: str, words: Mapping[str, str]) -> str:
    """Drivers stand inside expressions and messages too; their names are too special to mean anything else."""
    for old in sorted(words, key=len, reverse=True):
        text = re.sub(rf"(?<![-a-z0-9.]){re.escape(old)}(?![-a-z0-9.])", words[old], text)
    return text


def _walk(value: Any, words: Mapping[str, str], place: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _walk(item, words, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, words, place) for item in value]
    if isinstance(value, str) and place in _PLACES:
        return words.get(value, value)
    if isinstance(value, str) and place == "unschedulable_message":
        return re.sub(r"(?<=/)[-a-z0-9.]+", lambda match: words.get(match[0], match[0]), value)
    return value
