"""Whether tolerations tolerate a taint, and for how long (core/v1 and resource.k8s.io/v1 alike). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Body = Mapping[str, Any]
FOREVER = float("inf")


def matches(taint: Body, toleration: Body) -> bool:
    """An empty effect or, with `Exists`, an empty key matches every one."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    operator = toleration.get("operator") or "Equal"
    if toleration.get("key"):
        if toleration["key"] != taint.get("key"):
            return False
    elif operator != "Exists":
        return False
    return operator == "Exists" or (toleration.get("value") or "") == (taint.get("value") or "")


def tolerated_seconds(taint: Body, tolerations: Iterable[Body]) -> float:
    """Seconds from the taint on; 0 when nothing tolerates it, `FOREVER` when no time is set."""
    times = [
        FOREVER if t.get("tolerationSeconds") is None else max(float(t["tolerationSeconds"]), 0.0)
        for t in tolerations
        if matches(taint, t)
    ]
    return min(times, default=0.0)
