"""A record's pods as API objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Body = dict[str, Any]
_WEIGHTS = (100, 40, 10, 3)


def spec_of(pod: Mapping[str, Any]) -> Body:
    """The spec: claims, limits of all containers, where it may and would like to run."""
    spec: Body = {
        "tolerations": [{"operator": "Exists"}],
        "resourceClaims": pod.get("claims") or [],
    }
    limits = [pod.get("limits") or {}, *(pod.get("moreContainers") or ())]
    spec["containers"] = [
        _container(f"c{number or ''}", each) for number, each in enumerate(limits)
    ]
    if pod.get("initContainers"):
        spec["initContainers"] = [
            _container(f"i{number}", each) for number, each in enumerate(pod["initContainers"])
        ]
    if pod.get("nodeSelector"):
        spec["nodeSelector"] = pod["nodeSelector"]
    if pod.get("prefer"):
        terms = [_preferred(*each) for each in zip(_WEIGHTS, pod["prefer"], strict=False)]
        kind = "preferredDuringSchedulingIgnoredDuringExecution"
        spec["affinity"] = {"nodeAffinity": {kind: terms}}
    return spec


def _container(name: str, limits: Mapping[str, str]) -> Body:
    body: Body = {"name": name, "image": "i"}
    return {**body, "resources": {"limits": dict(limits)}} if limits else body


def _preferred(weight: int, node: str) -> Body:
    wanted = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {"weight": weight, "preference": {"matchExpressions": [wanted]}}
