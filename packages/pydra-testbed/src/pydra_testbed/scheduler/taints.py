"""Device taints and the tolerations of requests (KEP-5055)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydra_testbed.scheduler.model import Device, Request

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
