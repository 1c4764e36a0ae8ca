"""What Kubernetes fills in when a client leaves it out, kind by kind.

Each function changes a decoded object in place; the request core calls it before validation.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from pydra_testbed.api._context import Context
from pydra_testbed.objects import KubeObject


def nothing(_obj: KubeObject, _context: Context) -> None:
    """Kinds without defaults."""


def slice_defaults(obj: KubeObject, context: Context) -> None:
    """A taint without a time was added now; a mapping without a multiplier counts once."""
    for device in obj.get("spec", {}).get("devices") or ():
        for taint in device.get("taints") or ():
            taint.setdefault("timeAdded", context.now)
        for mapping in (device.get("nodeAllocatableResourceMappings") or {}).values():
            mapping.setdefault("allocationMultiplier", "1")


def rule_defaults(obj: KubeObject, context: Context) -> None:
    """A rule's taint without a time was added now."""
    taint = obj.setdefault("spec", {}).setdefault("taint", {})
    if not taint.get("timeAdded"):
        taint["timeAdded"] = context.now


def claim_defaults(obj: KubeObject, context: Context) -> None:
    _devices(obj.get("spec", {}), context)
    results = (obj.get("status", {}).get("allocation") or {}).get("devices", {}).get("results")
    for result in results or ():
        _tolerations(result)


def template_defaults(obj: KubeObject, context: Context) -> None:
    _devices(obj.get("spec", {}).get("spec", {}), context)


def _devices(spec: KubeObject, context: Context) -> None:
    """v1beta1 cannot tell an exact request without a class from one with alternatives: it gets nothing."""
    for request in spec.get("devices", {}).get("requests") or ():
        exactly = request.get("exactly")
        flat = context.version == "v1beta1"
        if exactly is not None and (exactly.get("deviceClassName") or not flat):
            _wanted(exactly)
        for wanted in request.get("firstAvailable") or ():
            _wanted(wanted)


def _wanted(request: KubeObject) -> None:
    if not request.get("allocationMode"):
        request["allocationMode"] = "ExactCount"
    if request["allocationMode"] == "ExactCount" and not request.get("count"):
        request["count"] = 1
    _tolerations(request)


def _tolerations(holder: KubeObject) -> None:
    for toleration in holder.get("tolerations") or ():
        if not toleration.get("operator"):
            toleration["operator"] = "Equal"


def pod_defaults(obj: KubeObject, _context: Context) -> None:
    spec = obj.setdefault("spec", {})
    for name, value in (
        ("restartPolicy", "Always"),
        ("dnsPolicy", "ClusterFirst"),
        ("schedulerName", "default-scheduler"),
        ("terminationGracePeriodSeconds", 30),
        ("enableServiceLinks", True),
        ("serviceAccountName", "default"),
    ):
        spec.setdefault(name, value)
    spec.setdefault("securityContext", {})
    for container in containers(spec):
        _container(container)


def containers(spec: KubeObject) -> Iterator[KubeObject]:
    """A pod's init containers and containers."""
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def _container(container: KubeObject) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    image = str(container.get("image", ""))
    latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    resources = container.setdefault("resources", {})
    limits = resources.get("limits") or {}
    if limits:
        resources["requests"] = limits | (resources.get("requests") or {})


def namespace_defaults(obj: KubeObject, _context: Context) -> None:
    meta = obj.setdefault("metadata", {})
    meta["labels"] = (meta.get("labels") or {}) | {
        "kubernetes.io/metadata.name": meta.get("name", "")
    }
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])


def secret_defaults(obj: KubeObject, _context: Context) -> None:
    """Plain text goes where encoded text lives."""
    if not obj.get("type"):
        obj["type"] = "Opaque"
    plain = obj.pop("stringData", None)
    if isinstance(plain, dict):
        encoded = {
            key: base64.b64encode(str(text).encode()).decode() for key, text in plain.items()
        }
        obj["data"] = (obj.get("data") or {}) | encoded
