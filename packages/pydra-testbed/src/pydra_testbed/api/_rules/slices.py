"""ResourceSlice: driver, pool, where the devices are, counters (KEP-4381, KEP-4815)."""

from __future__ import annotations

from pydra_testbed.api._causes import Cause, Causes, invalid, required
from pydra_testbed.api._context import Context
from pydra_testbed.api._godump import internal
from pydra_testbed.api._names import dns_subdomain, driver_name, label, pool_name
from pydra_testbed.api._rules.devices import advanced, device
from pydra_testbed.api._rules.lists import entries, fine, unique
from pydra_testbed.api._rules.meta import metadata, metadata_update
from pydra_testbed.api._rules.nodes import node_name, node_selector
from pydra_testbed.api._shapes.devices import NODE_SELECTOR
from pydra_testbed.objects import KubeObject

DEVICES_MAX = 128
ADVANCED_DEVICES_MAX = 64
COUNTER_SETS_MAX = 8
COUNTERS_MAX = 32
IMMUTABLE = "field is immutable"
_ONE_OF = (
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
)


def new_slice(obj: KubeObject, _context: Context) -> Causes:
    found = metadata(obj, namespaced=False, name_check=dns_subdomain)
    return found + _spec(obj.get("spec", {}), None)


def changed_slice(new: KubeObject, old: KubeObject, _context: Context) -> Causes:
    return metadata_update(new, old) + _spec(new.get("spec", {}), old.get("spec", {}))


def advice(obj: KubeObject) -> tuple[str, ...]:
    """Accepted, but better avoided."""
    driver = obj["spec"]["driver"]
    if driver == driver.lower():
        return ()
    text = f'driver names should be lowercase; "{driver}" contains uppercase characters'
    return (f"spec.driver: {text}",)


def _spec(spec: KubeObject, old: KubeObject | None) -> Causes:
    found = driver_name("spec.driver", spec.get("driver", ""))
    found += _pool(spec.get("pool", {}))
    if old is not None:
        found += _immutable(spec, old)
    found += _placement(spec)
    if spec.get("sharedCounters") is not None and spec.get("devices") is not None:
        detail = "only one of `sharedCounters` or `devices` is allowed"
        found.append(invalid("spec", "", detail))
    devices = spec.get("devices") or []
    limit = ADVANCED_DEVICES_MAX if advanced(devices) else DEVICES_MAX
    before = {entry.get("name", ""): entry for entry in (old or {}).get("devices") or ()}
    per_device = bool(spec.get("perDeviceNodeSelection"))
    found += unique(
        "spec.devices",
        devices,
        limit,
        lambda field, entry: device(
            field, entry, before.get(entry.get("name", "")), per_device=per_device
        ),
        lambda entry: entry.get("name", ""),
    )
    sets = spec.get("sharedCounters")
    return found + unique(
        "spec.sharedCounters", sets, COUNTER_SETS_MAX, _counter_set, lambda e: e.get("name", "")
    )


def _pool(pool: KubeObject) -> Causes:
    found = pool_name("spec.pool.name", pool.get("name", ""))
    count, generation = pool.get("resourceSliceCount", 0), pool.get("generation", 0)
    if count <= 0:
        found.append(invalid("spec.pool.resourceSliceCount", count, "must be greater than zero"))
    if generation < 0:
        detail = "must be greater than or equal to zero"
        found.append(invalid("spec.pool.generation", generation, detail))
    return found


def _immutable(spec: KubeObject, old: KubeObject) -> Causes:
    checks = (
        ("spec.pool.name", spec.get("pool", {}).get("name", ""), old["pool"]["name"]),
        ("spec.driver", spec.get("driver", ""), old["driver"]),
        ("spec.nodeName", spec.get("nodeName"), old.get("nodeName")),
    )
    return [invalid(field, now, IMMUTABLE) for field, now, then in checks if now != then]


def _placement(spec: KubeObject) -> Causes:
    found: Causes = []
    chosen: list[str] = []
    name = spec.get("nodeName")
    if name:
        chosen.append("`nodeName`")
        found += node_name("spec.nodeName", name)
    elif name is not None:
        detail = "must be either unset or set to a non-empty string"
        found.append(invalid("spec.nodeName", name, detail))
    selector = spec.get("nodeSelector")
    if selector is not None:
        chosen.append("`nodeSelector`")
        found += _one_term(selector)
    for flag in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(flag):
            chosen.append(f"`{flag}`")
        elif spec.get(flag) is not None:
            detail = "must be either unset or set to true"
            found.append(invalid(f"spec.{flag}", value=False, detail=detail))
    return found + _exactly_one(chosen)


def _one_term(selector: KubeObject) -> Causes:
    """Selectors of several devices are merged, which only works with one term each."""
    found = node_selector("spec.nodeSelector", selector)
    terms = selector.get("nodeSelectorTerms")
    if len(terms or ()) != 1:
        detail = "must have exactly one node selector term"
        shown = internal(terms, NODE_SELECTOR.fields["nodeSelectorTerms"].shape)
        found.append(invalid("spec.nodeSelector.nodeSelectorTerms", shown, detail))
    return found


def _exactly_one(chosen: list[str]) -> list[Cause]:
    if not chosen:
        return [required("spec", _ONE_OF)]
    if len(chosen) == 1:
        return []
    shown = f"{{{', '.join(chosen)}}}"
    return [invalid("spec", shown, f"{_ONE_OF}, but multiple fields are set")]


def _counter_set(field: str, entry: KubeObject) -> Causes:
    name = entry.get("name", "")
    found = label(f"{field}.name", name) if name else [required(f"{field}.name")]
    counters = entry.get("counters")
    if not counters:
        return [*found, required(f"{field}.counters")]
    return found + entries(f"{field}.counters", counters, label, fine, COUNTERS_MAX)
