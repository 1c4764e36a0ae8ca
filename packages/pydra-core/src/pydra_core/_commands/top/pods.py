"""Which pods have the device IDs of extended resources: no journal knows, the kubelet does.

Where it cannot be asked, the API server tells which pods of the node ask for the resource: one of these it is, as far as
it is not gone. `command` and `cluster` call this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydra_core._api.client import KubeClient, decode_object
from pydra_core._commands.top.uses import Use
from pydra_core._legacy.podresources import PodResources
from pydra_core.errors import HostError

_ENDED = {"Succeeded", "Failed"}


async def by_kubelet(held: Sequence[Use], socket: Path) -> tuple[list[Use], str]:
    """The uses with the pods that have them, and why those are not known."""
    try:
        listed = (await PodResources(socket).list()).held
    except HostError as err:
        return list(held), str(err)
    return [_with_pod(use, listed.get((use.resource, use.claim), "")) for use in held], ""


def _with_pod(use: Use, pod: str) -> Use:
    return dataclasses.replace(use, pods=(pod,)) if use.resource and pod else use


async def by_requests(held: Sequence[Use], client: KubeClient, node: str) -> list[Use]:
    """The uses with the pods of the node that ask for what they are of.

    Raises:
        ApiError: pods cannot be read.
    """
    answer = await client.get("/api/v1/pods", {"fieldSelector": f"spec.nodeName={node}"})
    asking: dict[str, list[str]] = {}
    for pod in decode_object("GET pods", answer).get("items") or ():
        for resource in sorted(_asked(pod)):
            asking.setdefault(resource, []).append(_name(pod))
    return [dataclasses.replace(u, perhaps=tuple(asking.get(u.resource, ()))) for u in held]


def _asked(pod: Mapping[str, Any]) -> set[str]:
    """The resources a pod asks for; of one that has ended, none."""
    if (pod.get("status") or {}).get("phase") in _ENDED:
        return set()
    amounts = ((c.get("resources") or {}).get("limits") or {} for c in _containers(pod))
    return {name for each in amounts for name, amount in each.items() if str(amount) != "0"}


def _containers(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    spec = pod.get("spec") or {}
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def _name(pod: Mapping[str, Any]) -> str:
    metadata = pod.get("metadata") or {}
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
