"""Scenarios and answers that mean the same as recorded ones, where the recording itself is not the only truth."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydra_testbed.fidelity._allocations.answers import Answer

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


def without_order(answer: Any) -> Any:
    """Devices numbered in order of appearance: which came first is all that counts then."""
    numbers: dict[tuple[str, ...], int] = {}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            if value.keys() >= set(_DEVICE):
                key = tuple(value[name] for name in _DEVICE)
                number = numbers.setdefault(key, len(numbers))
                return {**value, "pool": "any", "device": f"device {number}"}
            return {key: renamed(item) for key, item in value.items()}
        return [renamed(item) for item in value] if isinstance(value, list) else value

    return renamed(answer)


def sees_evictions_by_chance(record: Mapping[str, Any]) -> bool:
    """Whether pods are evicted right after they are scheduled, so that a look can see them or not."""
    is_uncertain = bool(record.get("quirk")) or record.get("repeated") == "different"
    return is_uncertain and any(
        taint.get("effect") == "NoExecute"
        for item in record["slices"]
        for device in item["spec"].get("devices") or ()
        for taint in device.get("taints") or ()
    )


def parts(answer: Mapping[str, Any]) -> Answer:
    """An answer by what one look saw: each step, each claim and each pod at the end."""
    looks: Answer = {f"outcome[{i}]": step for i, step in enumerate(answer["outcome"])}
    for kind in ("final_claims", "final_pods"):
        looks |= {f"{kind}.{name}": state for name, state in (answer.get(kind) or {}).items()}
    return looks
