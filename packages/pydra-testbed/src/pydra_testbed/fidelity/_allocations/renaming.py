"""A scenario with other names: the same decisions must follow for drivers, devices and nodes nobody recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_NAMES = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def renamed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Rename nodes, drivers and devices throughout, in a way that keeps their order by name."""
    drivers = {item["spec"]["driver"] for item in record["slices"]}
    nodes = {node["name"] for node in record["nodes"]}
    devices = {
        device["name"]
        for item in record["slices"]
        for device in item["spec"].get("devices") or ()
        if _NAMES.fullmatch(device["name"])
    }
    words = {name: f"{name}-x" for name in (nodes | devices) - _reserved(record)}
    domains = {driver: f"{driver}.test" for driver in drivers}
    text = _replaced(json.dumps(dict(record), ensure_ascii=False), domains)
    return dict(_walk(json.loads(text), words))


def _replaced(text: str, domains: Mapping[str, str]) -> str:
    """Drivers stand inside expressions and messages too; their names are too special to mean anything else."""
    for old in sorted(domains, key=len, reverse=True):
        text = re.sub(rf"(?<![-a-z0-9.]){re.escape(old)}(?![-a-z0-9.])", domains[old], text)
    return text


def _reserved(record: Mapping[str, Any]) -> set[str]:
    """Words that are also something else: pods, claims, classes, keys of the form."""
    named = ("pods", "claims", "deviceClasses", "claimTemplates")
    return {item["name"] for kind in named for item in record.get(kind) or ()}


_PLACES = frozenset(
    {"name", "device", "node", "nodeName", "scheduled_node", "prefer", "values", "pool"}
)


def _walk(value: Any, words: Mapping[str, str], place: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _walk(item, words, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, words, place) for item in value]
    if isinstance(value, str) and place in _PLACES:
        return words.get(value, value)
    if isinstance(value, str) and place == "unschedulable_message":
        return re.sub(r"(?<=/)[-a-z0-9]+(?= because)", lambda m: words.get(m[0], m[0]), value)
    return value
