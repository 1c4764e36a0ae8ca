"""What the API server adds: the pods a claim is reserved for, and slices, of which `left` makes what nobody has."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pydra_core._api import access
from pydra_core._api.client import KubeClient, decode_object
from pydra_core._commands.top.left import with_free
from pydra_core._commands.top.pods import by_requests
from pydra_core._commands.top.uses import Use
from pydra_core.errors import ApiError

_API = "/apis/resource.k8s.io/v1"
_NOT_FOUND = 404


async def joined(
    held: Sequence[Use],
    kubeconfig: str,
    environ: Mapping[str, str],
    node: str,
    *,
    kubelet_tells: bool = True,
) -> tuple[list[Use], list[str]]:
    """The uses with their pods and what they leave, the free devices of the node behind them, and what is odd.

    Args:
        held: with the pods that need no claims, if the kubelet told them.
        kubeconfig: where API access is described, if not in `environ`.
        environ: the environment.
        node: this node.
        kubelet_tells: else pods that ask for the same are looked for.

    Raises:
        ConfigError: API access is not configured.
        ApiError: slices or claims cannot be read.
    """
    client = KubeClient(access.find(kubeconfig, environ))
    try:
        refs = sorted({(u.namespace, u.claim, u.uid) for u in held if u.claim and not u.resource})
        bodies = await asyncio.gather(
            *(_claim(client, namespace, name) for namespace, name, _ in refs)
        )
        slices = await _slices(client, node)
        if not kubelet_tells:
            held = await by_requests(held, client, node)
    finally:
        await client.close()
    pods, odd = {}, []
    for (namespace, name, uid), body in zip(refs, bodies, strict=True):
        if body is None or body.get("metadata", {}).get("uid") != uid:
            odd.append(
                f"claim {namespace}/{name} (UID {uid}): is prepared here and gone from the API server; the kubelet"
                " unprepares it once the last container that uses it has ended"
            )
        else:
            pods[uid] = _pods(body)
    return with_free(
        [dataclasses.replace(u, pods=pods.get(u.uid, u.pods)) for u in held], slices
    ), odd


async def _slices(client: KubeClient, node: str) -> list[dict[str, Any]]:
    answer = await client.get(f"{_API}/resourceslices", {"fieldSelector": f"spec.nodeName={node}"})
    items: list[dict[str, Any]] = decode_object("GET resourceslices", answer).get("items") or []
    return items


async def _claim(client: KubeClient, namespace: str, name: str) -> dict[str, Any] | None:
    path = f"{_API}/namespaces/{quote(namespace, safe='')}/resourceclaims/{quote(name, safe='')}"
    try:
        return decode_object(f"GET {path}", await client.get(path))
    except ApiError as err:
        if err.status == _NOT_FOUND:
            return None
        raise


def _pods(claim: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of those a claim is reserved for; others than pods with their kind."""
    consumers = (claim.get("status") or {}).get("reservedFor") or []
    return tuple(
        c.get("name", "") if c.get("resource") == "pods" else f"{c.get('resource')}/{c.get('name')}"
        for c in consumers
    )
