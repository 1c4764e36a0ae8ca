"""Scenarios and answers that mean the same as recorded ones, where the recording itself is not the only truth."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

_Id = tuple[str, str, str]
_DEVICE = ("driver", "pool", "device")


def with_own_taints(record: Mapping[str, Any]) -> dict[str, Any]:
    """The scenario whose devices carry the taints that its DeviceTaintRules give them.

    Kubernetes 1.36.2 ignores rules that are younger than the slices. What the rules ask for is what the same
    taints in the slices do.
    """
    same = copy.deepcopy(dict(record))
    for rule in same.pop("taintRules"):
        selector = rule["spec"].get("deviceSelector")
        for item in same["slices"]:
            spec = item["spec"]
            for device in spec.get("devices") or ():
                names = (spec["driver"], spec["pool"]["name"], device["name"])
                if selector is not None and all(
                    selector.get(key) in {None, name}
                    for key, name in zip(_DEVICE, names, strict=True)
                ):
                    device.setdefault("taints", []).append(rule["spec"]["taint"])
    return same


def is_without_order(record: Mapping[str, Any]) -> bool:
    """Whether the allocator that runs with the beta gates off chose among slices, which it takes in no order."""
    gates = record.get("gates") or {}
    return gates.get("DRAPartitionableDevices") is False and len(record["slices"]) > 1


def without_order(answer: Any, record: Mapping[str, Any]) -> Any:
    """Devices that are alike but for their names, numbered in order of appearance: which came first is all that counts."""
    likeness = _likeness(record)
    numbers: dict[str, dict[_Id, int]] = defaultdict(dict)

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            if value.keys() >= set(_DEVICE):
                key = (value["driver"], value["pool"], value["device"])
                like = likeness.get(key, f"unknown {key}")
                number = numbers[like].setdefault(key, len(numbers[like]))
                return {**value, "pool": "any", "device": f"device {number} of {like}"}
            return {key: renamed(item) for key, item in value.items()}
        return [renamed(item) for item in value] if isinstance(value, list) else value

    return renamed(answer)


def _likeness(record: Mapping[str, Any]) -> dict[_Id, str]:
    """What each device of a scenario is, without its name and its pool's and slice's."""
    found: dict[_Id, str] = {}
    for item in record["slices"]:
        where = {
            key: value for key, value in item["spec"].items() if key not in {"pool", "devices"}
        }
        for device in item["spec"].get("devices") or ():
            what = {key: value for key, value in device.items() if key != "name"}
            key = (item["spec"]["driver"], item["spec"]["pool"]["name"], device["name"])
            found[key] = json.dumps([where, what], sort_keys=True)
    return found


def sees_evictions_by_chance(record: Mapping[str, Any]) -> bool:
    """Whether pods are evicted right after they are scheduled, so that a look can see them or not."""
    is_uncertain = bool(record.get("quirk")) or record.get("repeated") == "different"
    return is_uncertain and any(
        taint.get("effect") == "NoExecute"
        for item in record["slices"]
        for device in item["spec"].get("devices") or ()
        for taint in device.get("taints") or ()
    )
