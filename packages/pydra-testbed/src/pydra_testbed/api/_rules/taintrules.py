"""DeviceTaintRule: an administrator's taint on the devices that a selector picks (KEP-5055)."""

from __future__ import annotations

from pydra_testbed.api._causes import Causes, too_many
from pydra_testbed.api._context import Context
from pydra_testbed.api._names import dns_subdomain, driver_name, label, pool_name
from pydra_testbed.api._rules.device_status import conditions
from pydra_testbed.api._rules.devices import taint
from pydra_testbed.api._rules.meta import metadata, metadata_update
from pydra_testbed.objects import KubeObject

CONDITIONS_MAX = 8
_SELECTED_BY = (("driver", driver_name), ("pool", pool_name), ("device", label))


def new_rule(obj: KubeObject, _context: Context) -> Causes:
    found = metadata(obj, namespaced=False, name_check=dns_subdomain)
    return found + _spec(obj.get("spec", {}))


def changed_rule(new: KubeObject, old: KubeObject, _context: Context) -> Causes:
    return metadata_update(new, old) + _spec(new.get("spec", {}))


def changed_rule_status(new: KubeObject, old: KubeObject, _context: Context) -> Causes:
    items = new.get("status", {}).get("conditions") or []
    field = "status.conditions"
    found = metadata_update(new, old) + conditions(field, items)
    if len(items) > CONDITIONS_MAX:
        found.append(too_many(field, len(items), CONDITIONS_MAX))
    return found


def renew(new: KubeObject, old: KubeObject, _context: Context) -> None:
    """A time sent back as it was counts as not sent when the effect is another one."""
    now, then = (obj.get("spec", {}).get("taint", {}) for obj in (new, old))
    same_time = now.get("timeAdded") == then.get("timeAdded")
    if same_time and now.get("effect") != then.get("effect"):
        now.pop("timeAdded", None)


def _spec(spec: KubeObject) -> Causes:
    found: Causes = []
    selector = spec.get("deviceSelector") or {}
    for name, check in _SELECTED_BY:
        text, field = selector.get(name), f"spec.deviceSelector.{name}"
        if text is not None:
            found += check(field, text)
    return found + taint("spec.taint", spec.get("taint") or {})
