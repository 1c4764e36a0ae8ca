from __future__ import annotations

import io
import json
from dataclasses import dataclass

import aiohttp
import pytest

from pydra_testbed.api import ApiServer
from pydra_testbed.clock import ManualClock

LARGE = 1024 * 1024
RESOURCE = "/apis/resource.k8s.io/v1"
CLAIM = {
    "metadata": {"name": "c1"},
    "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}},
}
SLICE = {
    "metadata": {"name": "s1"},
    "spec": {
        "driver": "gpu.example.com",
        "pool": {"name": "node1", "generation": 1, "resourceSliceCount": 1},
        "nodeName": "node1",
        "devices": [{"name": "d0"}],
    },
}
POD = {"metadata": {"name": "p1"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@dataclass
class Reply:
    status: int
    body: dict
    warnings: list[str]
    headers: dict[str, str]


class Kube:
    """Kubernetes requests with their verdicts, through a real socket."""

    claims = f"{RESOURCE}/namespaces/default/resourceclaims"
    slices = f"{RESOURCE}/resourceslices"
    pods = "/api/v1/namespaces/default/pods"
    maps = "/api/v1/namespaces/default/configmaps"
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def call(self, method: str, path: str, body=None, *, media="application/json", **query):
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        data = io.BytesIO(data) if data and len(data) > LARGE else data
        headers = {"Content-Type": media} if data is not None else {}
        async with self.session.request(
            method, path, data=data, headers=headers, params=query
        ) as reply:
            text = await reply.text()
            parsed = json.loads(text) if text.startswith("{") else {"text": text}
            warnings = reply.headers.getall("Warning", [])
            return Reply(reply.status, parsed, warnings, dict(reply.headers))

    async def ok(self, method: str, path: str, body=None, **query) -> dict:
        reply = await self.call(method, path, body, **query)
        assert reply.status in {200, 201}, reply.body
        return reply.body

    async def refused(self, method: str, path: str, body=None, **query) -> dict:
        reply = await self.call(method, path, body, **query)
        assert reply.body["kind"] == "Status", reply.body
        assert reply.body["code"] == reply.status
        return reply.body

    def watch(self, path: str, **query) -> Watching:
        return Watching(self.session.get(path, params={"watch": "1"} | query))


class Watching:
    """A running watch; `next()` is its next event, None at its end."""

    def __init__(self, request) -> None:
        self._request = request

    async def __aenter__(self):
        self._reply = await self._request
        assert self._reply.status == 200, await self._reply.text()
        return self

    async def __aexit__(self, *_):
        self._reply.close()

    async def next(self) -> dict | None:
        line = await self._reply.content.readline()
        return json.loads(line) if line else None

    async def take(self, count: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def server(clock):
    return ApiServer(clock)


@pytest.fixture
def connect():
    """Open a server to HTTP for one block."""

    class Connection:
        def __init__(self, server, headers=None):
            self._listening = server.listen()
            self._headers = headers

        async def __aenter__(self):
            url = await self._listening.__aenter__()
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(url, connector=connector, headers=self._headers)
            return Kube(self._session, url)

        async def __aexit__(self, *reason):
            await self._session.close()
            await self._listening.__aexit__(*reason)

    return Connection


@pytest.fixture
async def kube(server, connect):
    async with connect(server) as kube:
        yield kube


@pytest.fixture
def samples():
    """Fresh valid bodies to start from."""

    def sample(kind: str, **changes) -> dict:
        found = json.loads(json.dumps({"claim": CLAIM, "slice": SLICE, "pod": POD}[kind]))
        for path, value in changes.items():
            node = found
            *steps, last = path.split("__")
            for step in steps:
                node = node.setdefault(step, {})
            node[last] = value
        return found

    return sample


SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1},
                "mode": {"type": "string", "enum": ["fast", "slow"], "default": "fast"},
                "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 5},
                "port": {"x-kubernetes-int-or-string": True},
                "when": {"type": "string", "format": "date-time"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "note": {"type": "string", "nullable": True},
                "tags": {
                    "type": "array",
                    "x-kubernetes-list-type": "set",
                    "items": {"type": "string"},
                },
                "parts": {
                    "type": "array",
                    "maxItems": 3,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["id", "side"],
                    "items": {
                        "type": "object",
                        "required": ["id"],
                        "properties": {
                            "id": {"type": "string"},
                            "side": {"type": "string", "default": "left"},
                            "weight": {"type": "number", "multipleOf": 0.5},
                        },
                    },
                },
            },
        },
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    },
}


@pytest.fixture
def definition():
    """A fresh CustomResourceDefinition of computes.example.com/v1."""
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": json.loads(json.dumps(SCHEMA))},
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Phase", "type": "string", "jsonPath": ".status.phase", "priority": 1},
        ],
    }
    names = {"plural": "computes", "kind": "Compute", "shortNames": ["cmp"], "categories": ["all"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "computes.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": [version],
        },
    }


@pytest.fixture
async def computes(kube, definition):
    """The path of a served custom resource."""
    await kube.ok("POST", kube.definitions, definition)
    return "/apis/example.com/v1/namespaces/default/computes"
