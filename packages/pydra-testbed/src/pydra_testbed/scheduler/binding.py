"""Binding conditions: devices that get ready only after they are allocated, and may fail to (KEP-5007).

The scheduler polls a claim's `status.devices` and gives the pod its node once all conditions hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pydra_testbed.objects import KubeObject, name_of
from pydra_testbed.scheduler.parsing import allocation_results

PERIOD = 5.0
"""Seconds between two looks."""
TIMEOUT = 600.0
"""Seconds after the allocation when waiting ends."""

_Conditions = dict[str, Mapping[str, Any]]


class BindingFailedError(Exception):
    """A device reports that it will not get ready; the text is the scheduler's."""


def has_conditions(claim: KubeObject) -> bool:
    """Whether any allocated device has binding conditions."""
    return any(result.get("bindingConditions") for result in allocation_results(claim))


def is_ready(claim: KubeObject) -> bool:
    """Whether all binding conditions of all allocated devices hold.

    Raises:
        BindingFailedError: a failure condition of a device holds.
    """
    status = claim.get("status") or {}
    reported = {_key(device): _true(device) for device in status.get("devices") or ()}
    for result in allocation_results(claim):
        if not result.get("bindingConditions"):
            continue
        holding = reported.get(_key(result), {})
        for name in result.get("bindingFailureConditions") or ():
            if name in holding:
                reason, message = holding[name].get("reason", ""), holding[name].get("message", "")
                raise BindingFailedError(
                    f"claim {name_of(claim)} binding failed: reason={reason}, "
                    f"message={json.dumps(message)}"
                )
        if not holding.keys() >= set(result["bindingConditions"]):
            return False
    return True


def is_in_vain(claim: KubeObject, now: datetime) -> bool:
    """Whether an allocation should be given up: a device failed, or took too long."""
    try:
        if is_ready(claim):
            return False
    except BindingFailedError:
        return True
    stamp = claim["status"]["allocation"].get("allocationTimestamp")
    return bool(stamp) and now - datetime.fromisoformat(stamp) >= timedelta(seconds=TIMEOUT)


def _key(body: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return body["driver"], body["pool"], body["device"], body.get("shareID") or ""


def _true(device: Mapping[str, Any]) -> _Conditions:
    conditions = device.get("conditions") or ()
    return {c["type"]: c for c in conditions if c.get("status") == "True"}
