"""The claim behind extended resources: a DeviceClass lets `limits: {vendor.com/gpu: 1}` mean devices (KEP-5004).

On a node that does not advertise the resource itself, a pod's containers become requests of one claim that
the scheduler makes. Init containers share the devices of containers that start after them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydra_core.quantity import parse
from pydra_testbed.objects import KubeObject, name_of, namespace_of, uid_of
from pydra_testbed.scheduler.model import DeviceClass

ANNOTATION = "resource.kubernetes.io/extended-resource-claim"
IN_MEMORY = "<extended-resources>"
IMPLICIT = "deviceclass.resource.kubernetes.io/"
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SpecialClaim:
    """The claim as it will be created, and which request serves which container."""

    body: Body
    mappings: tuple[Body, ...]


@dataclass(slots=True)
class _Request:
    name: str
    count: int


@dataclass(slots=True)
class _Resource:
    """One resource's requests: of containers that stay, by index, and the largest of those that end first."""

    lasting: dict[int, _Request] = field(default_factory=dict)
    passing: list[_Request] = field(default_factory=list)
    mappings: list[Body] = field(default_factory=list)


def classes_by_resource(classes: Mapping[str, DeviceClass]) -> dict[str, str]:
    """Which class serves a resource: the newest that names it, then the first by name; or by its own name."""
    found: dict[str, str] = {}
    by_age = sorted(classes.values(), key=lambda each: each.name)
    for item in sorted(by_age, key=lambda each: each.created, reverse=True):
        if item.extended_resource:
            found.setdefault(item.extended_resource, item.name)
        found[f"{IMPLICIT}{item.name}"] = item.name
    return found


def special_claim(pod: KubeObject, classes: Mapping[str, str]) -> SpecialClaim:
    """Make the claim for the resources that are the keys of `classes`."""
    requests: list[Body] = []
    mappings: list[Body] = []
    for resource in sorted(classes):
        found = _requests(pod, resource)
        largest = max(found.passing, key=lambda each: each.count, default=None)
        for each in [*([largest] if largest else []), *found.lasting.values()]:
            exactly = {
                "deviceClassName": classes[resource],
                "allocationMode": "ExactCount",
                "count": each.count,
            }
            requests.append({"name": each.name, "exactly": exactly})
        mappings += found.mappings
    requests.sort(key=lambda each: str(each["name"]))
    metadata = {
        "namespace": namespace_of(pod),
        "name": IN_MEMORY,
        "generateName": f"{name_of(pod)}-extended-resources-",
        "annotations": {ANNOTATION: "true"},
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": name_of(pod),
                "uid": uid_of(pod),
                "controller": True,
            }
        ],
    }
    return SpecialClaim(
        {"metadata": metadata, "spec": {"devices": {"requests": requests}}}, tuple(mappings)
    )


def _requests(pod: KubeObject, resource: str) -> _Resource:
    spec = pod["spec"]
    first = len(spec.get("initContainers") or ())
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    passing = [i for i in range(first) if containers[i].get("restartPolicy") != "Always"]
    found = _Resource()
    for index in range(len(containers)):
        if index not in passing:
            found.mappings += _add(found, index, containers[index], resource, ())
    own: list[Body] = []
    for index in passing:
        later = [request for i, request in found.lasting.items() if i > index]
        own += _add(found, index, containers[index], resource, later, is_passing=True)
    found.mappings += _to_the_largest(own, found.passing)
    return found


def _add(
    found: _Resource,
    index: int,
    container: KubeObject,
    resource: str,
    reusable: Sequence[_Request],
    *,
    is_passing: bool = False,
) -> list[Body]:
    """Note a container's request for what it cannot share; tells which requests serve it."""
    amounts = container.get("resources") or {}
    asked = {**(amounts.get("limits") or {}), **(amounts.get("requests") or {})}
    missing = parse(str(asked.get(resource, "0"))).value()
    served: list[str] = []
    for request in reusable:
        if missing > 0:
            served.append(request.name)
            missing -= request.count
    if missing > 0:
        new = _Request(f"container-{index}-request-{sorted(asked).index(resource)}", missing)
        served.append(new.name)
        if is_passing:
            found.passing.append(new)
        else:
            found.lasting[index] = new
    return [
        {"containerName": container["name"], "resourceName": resource, "requestName": name}
        for name in served
    ]


def _to_the_largest(mappings: list[Body], passing: Sequence[_Request]) -> list[Body]:
    """Containers that run one after the other share the devices of the one that needs most."""
    if not passing:
        return mappings
    largest = max(passing, key=lambda each: each.count)
    names = {request.name for request in passing}
    return [
        {**each, "requestName": largest.name} if each["requestName"] in names else each
        for each in mappings
    ]


def left_behind(pod: KubeObject, claims: Mapping[str, KubeObject]) -> str:
    """Key of the claim that an earlier attempt made for the pod, empty without one."""
    for key, claim in claims.items():
        metadata = claim["metadata"]
        if (metadata.get("annotations") or {}).get(ANNOTATION) == "true" and any(
            owner.get("controller") and owner.get("uid") == uid_of(pod)
            for owner in metadata.get("ownerReferences") or ()
        ):
            return key
    return ""
