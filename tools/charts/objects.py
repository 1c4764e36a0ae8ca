"""Holds rendered objects against Kubernetes: the fields of each supported version, and the CEL inside.

Schemas are those of kubernetes-validate; CEL and the rules no schema has (names, limits) are the testbed's.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types

from pydra_testbed.api import ApiServer, selector_check
from pydra_testbed.clock import RealClock
from pydra_testbed.objects import ApiStatusError

VERSIONS = ("1.34", "1.35", "1.36", "1.37")
"""What the chart supports."""
_CUSTOM = "monitoring.coreos.com/"
_WITH_CEL = {
    "DeviceClass": "deviceclasses",
    "ResourceClaimTemplate": "resourceclaimtemplates",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


def faults(objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What Kubernetes has against them, one line a fault."""
    for body in objects:
        if body["apiVersion"].startswith(_CUSTOM):  # their schemas are the Prometheus operator's
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(body, version, strict=True)
            except kubernetes_validate.ValidationError as err:
                path = ".".join(map(str, err.path))
                yield f"{_name(body)}: Kubernetes {version}: {path}: {err.message}"
    yield from asyncio.run(_refused(objects))


async def _refused(bodies: Sequence[dict[str, Any]]) -> list[str]:
    """What the testbed's API server refuses of those that hold CEL."""
    api = ApiServer(RealClock(), cel_check=selector_check).local
    found = []
    for namespace in {body["metadata"].get("namespace", "default") for body in bodies}:
        with suppress(ApiStatusError):  # some are there from the start
            await api.create("namespaces", {"metadata": {"name": namespace}})
    for body in bodies:
        if resource := _WITH_CEL.get(body["kind"]):
            try:
                await api.create(resource, body, body["metadata"].get("namespace", "default"))
            except ApiStatusError as err:
                found.append(f"{_name(body)}: {err.message}")
    return found


def _name(body: dict[str, Any]) -> str:
    return f"{body['kind']} {body['metadata']['name']}"
