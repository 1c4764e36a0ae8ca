"""Who may write which part of a claim's status, beyond `resourceclaims/status` itself (KEP-4817, Kubernetes 1.36).

The allocation belongs to whoever may use `resourceclaims/binding`; a driver's device status to whoever may use
`resourceclaims/driver` of that driver's name, on the writer's own node or on any. Called with each status write.
"""

from __future__ import annotations

from collections import defaultdict

from pydra_testbed.api._causes import Causes, forbidden
from pydra_testbed.api._context import Act, Context, Writer
from pydra_testbed.api._emit import emit
from pydra_testbed.api._rules.admin import admin_label_missing
from pydra_testbed.api._shapes.claims import RESOURCE_CLAIM
from pydra_testbed.objects import KubeObject

_GROUP = "resource.k8s.io"
_GATE = "DRAResourceClaimGranularStatusAuthorization"
_BINDING = "resourceclaims/binding"
_DRIVER = "resourceclaims/driver"


def admin_results(new: KubeObject, old: KubeObject, context: Context) -> Causes:
    """Results for administrators need a labelled namespace, unless the claim has some already (KEP-5018)."""
    if _first_admin(old) is not None:
        return []
    index = _first_admin(new)
    field = f"status.allocation.devices.results[{index}].adminAccess"
    return [] if index is None else admin_label_missing(field, context)


def _first_admin(obj: KubeObject) -> int | None:
    allocation = obj.get("status", {}).get("allocation") or {}
    results = allocation.get("devices", {}).get("results") or ()
    return next((index for index, entry in enumerate(results) if entry.get("adminAccess")), None)


def permitted(new: KubeObject, old: KubeObject, context: Context) -> Causes:
    """What of this change the writer may not do."""
    if not context.gates[_GATE]:
        return []
    now, then = emit(new, RESOURCE_CLAIM)["status"], old.get("status", {})
    found: Causes = []
    if any(now.get(part) != then.get(part) for part in ("allocation", "reservedFor")):
        found += _binding(context.writer)
    namespace = new["metadata"].get("namespace", "")
    allocation = now.get("allocation") or then.get("allocation") or {}
    verbs = _verbs(context.writer, allocation)
    for driver in _changed_drivers(now, then):
        found += _device_status(context.writer, driver, namespace, verbs)
    return found


def _binding(writer: Writer) -> Causes:
    why = writer.refusal(Act(writer.verb, _GROUP, _BINDING))
    if not why:
        return []
    detail = (
        "changing status.allocation or status.reservedFor requires "
        f'resource="{_BINDING}", verb="{writer.verb}" permission: {why}'
    )
    return [forbidden("status.allocation", detail)]


def _changed_drivers(now: KubeObject, then: KubeObject) -> list[str]:
    before, after = _by_driver(then), _by_driver(now)
    return sorted(name for name in before.keys() | after.keys() if before[name] != after[name])


def _by_driver(status: KubeObject) -> defaultdict[str, dict[tuple[str, ...], KubeObject]]:
    """Each driver's entries by device: their order is nobody's."""
    found: defaultdict[str, dict[tuple[str, ...], KubeObject]] = defaultdict(dict)
    for entry in status.get("devices") or ():
        key = tuple(entry.get(name) or "" for name in ("pool", "device", "shareID"))
        found[entry.get("driver", "")][key] = entry
    return found


def _verbs(writer: Writer, allocation: KubeObject) -> tuple[str, ...]:
    """The verbs any of which is enough; the first only where the allocation is for the writer's own node."""
    anywhere = f"arbitrary-node:{writer.verb}"
    if writer.node and writer.node == _node_of(allocation):
        return f"associated-node:{writer.verb}", anywhere
    return (anywhere,)


def _node_of(allocation: KubeObject) -> str:
    """The one node an allocation names, empty when it is for others too."""
    selector: KubeObject = allocation.get("nodeSelector") or {}
    terms = selector.get("nodeSelectorTerms") or []
    if len(terms) != 1 or terms[0].get("matchExpressions"):
        return ""
    fields = terms[0].get("matchFields") or []
    if len(fields) != 1 or (fields[0]["key"], fields[0]["operator"]) != ("metadata.name", "In"):
        return ""
    values = fields[0].get("values") or []
    return str(values[0]) if len(values) == 1 else ""


def _device_status(writer: Writer, driver: str, namespace: str, verbs: tuple[str, ...]) -> Causes:
    refusals = [writer.refusal(Act(verb, _GROUP, _DRIVER, namespace, driver)) for verb in verbs]
    if not all(refusals):
        return []
    detail = (
        f'changing status.devices requires resource="{_DRIVER}", '
        f'verb="[{" ".join(verbs)}]" permission: {refusals[0]}'
    )
    return [forbidden("status.devices", detail)]
