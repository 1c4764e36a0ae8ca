"""What is asked over the network: this node's slices and claims from the API server, the driver's own probes."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import aiohttp

from pydra_core._api import access
from pydra_core._api.client import KubeClient, decode_object
from pydra_core._commands.doctor.subject import Subject
from pydra_core._commands.gather.bundle import Bundle
from pydra_core._commands.gather.redaction import redacted
from pydra_core._state.survey import look_at
from pydra_core.errors import ApiError

_API = "/apis/resource.k8s.io/v1"
_PATIENCE = 5.0
_MOST_CLAIMS = 256
_LARGEST = 4 << 20


async def api(bundle: Bundle, subject: Subject) -> None:
    """Slices of this driver on this node, and the claims its journal names."""
    with bundle.part("api"):
        client = KubeClient(
            access.find(subject.settings.kubeconfig, subject.environ), timeout=_PATIENCE
        )
        try:
            with bundle.part("api/resourceslices.json"):
                bundle.add_json("api/resourceslices.json", await _slices(client, subject))
            with bundle.part("api/resourceclaims.json"):
                bundle.add_json("api/resourceclaims.json", await _claims(client, subject))
        finally:
            await client.close()


async def _slices(client: KubeClient, subject: Subject) -> Any:
    chosen = {"spec.driver": subject.driver.name, "spec.nodeName": subject.settings.node_name}
    selector = ",".join(f"{field}={value}" for field, value in chosen.items() if value)
    answer = await client.get(f"{_API}/resourceslices", {"fieldSelector": selector})
    return redacted(decode_object("GET resourceslices", answer).get("items") or [])


async def _claims(client: KubeClient, subject: Subject) -> Any:
    found = look_at(subject.settings.kubelet_root / "plugins" / subject.driver.name / "journal")
    held = found.claims if found else ()
    named = sorted({(r.namespace, r.name) for r in held if r.name})[:_MOST_CLAIMS]
    return await asyncio.gather(*(_claim(client, namespace, name) for namespace, name in named))


async def _claim(client: KubeClient, namespace: str, name: str) -> Any:
    path = f"{_API}/namespaces/{quote(namespace, safe='')}/resourceclaims/{quote(name, safe='')}"
    try:
        return redacted(decode_object(f"GET {path}", await client.get(path)))
    except ApiError as err:
        return {"namespace": namespace, "name": name, "error": str(err)}


async def probes(bundle: Bundle, address: str) -> None:
    """Metrics and probes of the running driver, if it serves any."""
    if not address:
        bundle.leave_out("metrics.txt", "setting http_address is empty: the driver serves none")
        return
    host, _, port = address.rpartition(":")
    near = "127.0.0.1" if host.strip("[]") in {"0.0.0.0", "::"} else host
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for name, path in (
            ("metrics.txt", "metrics"),
            ("healthz.txt", "healthz"),
            ("readyz.txt", "readyz"),
        ):
            try:
                async with session.get(
                    f"http://{near}:{port}/{path}", allow_redirects=False
                ) as answer:
                    bundle.add(name, await answer.content.read(_LARGEST))
            except (aiohttp.ClientError, TimeoutError, OSError) as err:
                bundle.leave_out(
                    name, f"http://{near}:{port}/{path}: {str(err) or type(err).__name__}"
                )
