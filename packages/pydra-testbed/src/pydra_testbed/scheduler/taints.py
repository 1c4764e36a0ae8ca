"""Device taints and the tolerations of requests (KEP-5055)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydra_testbed.objects import KubeObject
from pydra_testbed.scheduler.model import Device, Request, Slice

Body = Mapping[str, Any]
_BLOCKING = frozenset({"NoSchedule", "NoExecute"})


def untolerated_taint(device: Device, request: Request) -> Body | None:
    """The first taint that keeps the device from being used for the request."""
    for taint in device.taints:
        if taint.get("effect") in _BLOCKING and not is_tolerated(taint, request.tolerations):
            return taint
    return None


def is_tolerated(taint: Body, tolerations: Iterable[Body]) -> bool:
    """Whether some toleration covers the taint; one without effect covers every effect."""
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def _tolerates(toleration: Body, taint: Body) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    match toleration.get("operator") or "Equal":
        case "Exists":
            return True
        case "Equal":
            return (toleration.get("value") or "") == (taint.get("value") or "")
        case _:
            return False


def with_rules(item: Slice, rules: Sequence[KubeObject]) -> Slice:
    """A slice whose devices also have the taints that DeviceTaintRules give them."""
    devices = tuple(_with_rules(device, rules) for device in item.devices)
    return item if devices == item.devices else replace(item, devices=devices)


def _with_rules(device: Device, rules: Sequence[KubeObject]) -> Device:
    added = tuple(rule["spec"]["taint"] for rule in rules if _means(rule["spec"], device))
    return replace(device, taints=device.taints + added) if added else device


def _means(rule: Body, device: Device) -> bool:
    """Whether a rule selects the device; a rule without selector selects none, an empty one all."""
    selector = rule.get("deviceSelector")
    if selector is None:
        return False
    wanted = (selector.get("driver"), selector.get("pool"), selector.get("device"))
    return all(want is None or want == has for want, has in zip(wanted, device.id, strict=True))
