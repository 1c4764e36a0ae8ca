"""What a claim got: allocation, reservations and the drivers' own device status (KEP-4817)."""

from __future__ import annotations

from functools import partial

from pydra_testbed.api._causes import Causes, forbidden, invalid, not_supported, required
from pydra_testbed.api._context import Context
from pydra_testbed.api._emit import emit
from pydra_testbed.api._godump import internal
from pydra_testbed.api._names import driver_name, label, pool_name
from pydra_testbed.api._rules.claims import (
    IMMUTABLE,
    LIST_MAX,
    RequestNames,
    reference,
    request_names,
)
from pydra_testbed.api._rules.device_status import device_status
from pydra_testbed.api._rules.devices import binding_conditions
from pydra_testbed.api._rules.lists import each, repeated, unique
from pydra_testbed.api._rules.meta import metadata_update
from pydra_testbed.api._rules.nodes import node_selector
from pydra_testbed.api._rules.opaque import configuration
from pydra_testbed.api._rules.permissions import admin_results, permitted
from pydra_testbed.api._rules.uids import share_id
from pydra_testbed.api._shapes.claims import ALLOCATION, RESOURCE_CLAIM
from pydra_testbed.objects import KubeObject

RESULTS_MAX = 32
RESERVED_MAX = 256
SOURCES = ("FromClaim", "FromClass")


def changed_status(new: KubeObject, old: KubeObject, context: Context) -> Causes:
    """A write to `resourceclaims/status`."""
    status, before = new.get("status", {}), old.get("status", {})
    names = request_names(new.get("spec", {}).get("devices", {}))
    allocation = status.get("allocation")
    found = admin_results(new, old, context) + permitted(new, old, context)
    found += metadata_update(new, old)
    found += unique(
        "status.reservedFor",
        status.get("reservedFor"),
        RESERVED_MAX,
        _consumer,
        lambda entry: entry.get("uid", ""),
    )
    found += _device_statuses(status, allocation)
    deleting = bool(new["metadata"].get("deletionTimestamp"))
    found += _reserved(status, before, deleting=deleting)
    if allocation is None:
        return found
    if before.get("allocation") is None:
        return found + _allocation(names, allocation)
    written = emit(new, RESOURCE_CLAIM)["status"]["allocation"]
    if before["allocation"] != written:
        found.append(invalid("status.allocation", internal(allocation, ALLOCATION), IMMUTABLE))
    return found


def drop_deallocated(new: KubeObject, old: KubeObject, _context: Context) -> None:
    """Device status goes with the allocation of its device."""
    entries = new.get("status", {}).get("devices")
    if not entries:
        return
    kept = _allocated(new)
    gone = {key for key in _allocated(old) if key not in kept}
    new["status"]["devices"] = [entry for entry in entries if _identity(entry) not in gone]


def _allocated(obj: KubeObject) -> set[tuple[str, str, str, str]]:
    allocation = obj.get("status", {}).get("allocation") or {}
    return {_identity(result) for result in allocation.get("devices", {}).get("results") or ()}


def _consumer(field: str, entry: KubeObject) -> Causes:
    names = ("resource", "name", "uid")
    return [required(f"{field}.{name}") for name in names if not entry.get(name)]


def _device_statuses(status: KubeObject, allocation: KubeObject | None) -> Causes:
    results = (allocation or {}).get("devices", {}).get("results") or ()
    allocated = {_identity(result) for result in results}

    def known(field: str, entry: KubeObject) -> Causes:
        if _identity(entry) in allocated:
            return []
        detail = "must be an allocated device in the claim"
        return [invalid(field, _shown(_identity(entry)), detail)]

    entries = status.get("devices") or []
    found = each(
        "status.devices", entries, -1, lambda field, entry: device_status(field, entry, known)
    )
    identities = [_identity(entry) for entry in entries]
    return found + repeated("status.devices", identities, _shown)


def _identity(entry: KubeObject) -> tuple[str, str, str, str]:
    driver, pool, device = (entry.get(name, "") for name in ("driver", "pool", "device"))
    return driver, pool, device, entry.get("shareID") or ""


def _shown(identity: tuple[str, str, str, str]) -> dict[str, str]:
    return dict(zip(("Driver", "Pool", "Device", "ShareID"), identity, strict=True))


def _reserved(status: KubeObject, before: KubeObject, *, deleting: bool) -> Causes:
    consumers = status.get("reservedFor") or []
    if not consumers:
        return []
    if status.get("allocation") is None:
        detail = "may not be specified when `allocated` is not set"
        return [forbidden("status.reservedFor", detail)]
    old = before.get("reservedFor") or []
    if deleting and any(consumer not in old for consumer in consumers):
        detail = (
            "new entries may not be added while `deallocationRequested` or "
            "`deletionTimestamp` are set"
        )
        return [forbidden("status.reservedFor", detail)]
    return []


def _allocation(names: RequestNames, allocation: KubeObject) -> Causes:
    field = "status.allocation"
    devices = allocation.get("devices", {})
    found = each(
        f"{field}.devices.results", devices.get("results"), RESULTS_MAX, partial(_result, names)
    )
    found += each(
        f"{field}.devices.config", devices.get("config"), 2 * LIST_MAX, partial(_config, names)
    )
    selector = allocation.get("nodeSelector")
    if selector is not None:
        found += node_selector(f"{field}.nodeSelector", selector)
    return found


def _result(names: RequestNames, field: str, result: KubeObject) -> Causes:
    found = reference(names, f"{field}.request", result.get("request", ""))
    found += driver_name(f"{field}.driver", result.get("driver", ""))
    found += pool_name(f"{field}.pool", result.get("pool", ""))
    found += label(f"{field}.device", result.get("device", ""))
    found += binding_conditions(field, result)
    share = result.get("shareID")
    return found if share is None else found + share_id(f"{field}.shareID", share)


def _config(names: RequestNames, field: str, entry: KubeObject) -> Causes:
    source = entry.get("source", "")
    found: Causes = []
    if not source:
        found.append(required(f"{field}.source"))
    elif source not in SOURCES:
        found.append(not_supported(f"{field}.source", source, SOURCES))
    found += unique(f"{field}.requests", entry.get("requests"), LIST_MAX, partial(reference, names))
    return found + configuration(field, entry)
