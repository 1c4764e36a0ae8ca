"""A world from a cluster's API, read only. What the user may not list is left out, and said."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec

from pydra_core._api.client import KubeClient
from pydra_core.errors import ApiError, ConfigError
from pydra_testbed.explain.world import World, by_key, nodes_of_slices
from pydra_testbed.objects import KubeObject

_RESOURCE = "/apis/resource.k8s.io/v1"
_FORBIDDEN, _NOT_FOUND = 403, 404


async def read_world(client: KubeClient, namespace: str) -> World:
    """List what decides allocations; pods and claims of all namespaces, for who holds what.

    Raises:
        ConfigError: the API server cannot be asked, or does not serve `resource.k8s.io/v1` (Kubernetes 1.34).
    """
    notes: list[str] = []
    slices, classes, templates = await asyncio.gather(
        _listed(client, f"{_RESOURCE}/resourceslices"),
        _listed(client, f"{_RESOURCE}/deviceclasses"),
        _listed(client, f"{_RESOURCE}/namespaces/{namespace}/resourceclaimtemplates"),
    )
    pods = await _everywhere(client, "/api/v1", "pods", namespace, notes)
    claims = await _everywhere(client, _RESOURCE, "resourceclaims", namespace, notes)
    world = World(
        {}, by_key(slices), by_key(classes), by_key(claims), by_key(templates), by_key(pods),
        by_key(await _namespace(client, namespace)),
    )  # fmt: skip
    nodes = await _if_allowed(client, "/api/v1/nodes")
    if nodes is None:
        notes.append("nodes cannot be listed: each node that slices name is taken to be ready")
        return replace(world, nodes=nodes_of_slices(slices), notes=tuple(notes))
    return replace(world, nodes=by_key(nodes), notes=tuple(notes))


async def _everywhere(
    client: KubeClient, group: str, plural: str, namespace: str, notes: list[str]
) -> list[KubeObject]:
    found = await _if_allowed(client, f"{group}/{plural}")
    if found is not None:
        return found
    notes.append(f"{plural} of other namespaces cannot be listed: what they hold looks free here")
    return await _listed(client, f"{group}/namespaces/{namespace}/{plural}")


async def _namespace(client: KubeClient, name: str) -> list[KubeObject]:
    try:
        return [msgspec.json.decode(await client.get(f"/api/v1/namespaces/{name}"), type=dict)]
    except ApiError as err:
        if err.status in (_FORBIDDEN, _NOT_FOUND):
            return []
        raise _unusable(err) from err


async def _if_allowed(client: KubeClient, path: str) -> list[KubeObject] | None:
    """The objects, or None where listing them is forbidden."""
    try:
        return await _items(client, path)
    except ApiError as err:
        if err.status == _FORBIDDEN:
            return None
        raise _unusable(err) from err


async def _listed(client: KubeClient, path: str) -> list[KubeObject]:
    try:
        return await _items(client, path)
    except ApiError as err:
        raise _unusable(err) from err


async def _items(client: KubeClient, path: str) -> list[KubeObject]:
    try:
        body: dict[str, Any] = msgspec.json.decode(await client.get(path), type=dict)
    except msgspec.DecodeError as err:
        raise ApiError(f"API GET {path}: the answer is no list: {err}") from err
    return [item for item in body.get("items") or () if isinstance(item, dict)]


def _unusable(err: ApiError) -> ConfigError:
    text = str(err)
    if err.status == _NOT_FOUND:
        text += "; explain needs resource.k8s.io/v1, served from Kubernetes 1.34 on"
    return ConfigError(text, key="kubeconfig", source="cluster")
