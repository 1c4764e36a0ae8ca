"""Plays `ssa-compute.jsonl`: transcripts of server-side apply and other writes to one custom resource.

Each record gets a server of its own with the recorded CustomResourceDefinition and a garbage collector, and is
played over HTTP step by step: status, object with its managers, Status body, warnings, then all watch events.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from pydra_testbed.api import ApiServer
from pydra_testbed.clock import ManualClock
from pydra_testbed.controllers import GarbageCollector
from pydra_testbed.fidelity.model import Outcome, Record
from pydra_testbed.fidelity.ssa_answers import Names, differences, projected, without_type
from pydra_testbed.objects import KubeObject

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_CALM_ROUNDS = 40
_END = 2.0
_SUFFIX = "-changed"
_MANAGER_FRAMES = (
    "fieldManager={}&",
    'fieldManager={}"',
    '"manager": "{}"',
    'with \\"{}\\"',
    '["{}", "Apply"',
    '["{}", "Update"',
)
"""Where the name of a manager stands in a record's JSON."""


@dataclass(slots=True)
class _Server:
    """One record's server: how to call it, and where its custom resources are."""

    clock: ManualClock
    api: ApiServer
    session: aiohttp.ClientSession
    collection: str


class SsaCompute:
    """The replayer of server-side apply."""

    def __init__(self) -> None:
        self._definition: KubeObject | None = None

    async def replay(self, records: Sequence[Record]) -> AsyncIterator[Outcome]:
        """Play records, each on a fresh server; the definition that all use is a record too."""
        for record in records:
            if "crd" in record:
                self._definition = dict(record["crd"])
                found = await _define(self._definition)
            elif self._definition is None:
                found = ["no record before this one holds the CustomResourceDefinition"]
            else:
                found = await _play(record, self._definition)
            yield Outcome(record["id"], "definition" if "crd" in record else "apply", tuple(found))

    def changed(self, record: Record) -> Record | None:
        """The same with other names of managers, wherever they stand; of the definition, another plural is none."""
        if "crd" in record:
            return None
        managers = sorted(
            {manager for step in record["steps"] for manager in _managers(step["query"] or "")},
            key=len,
            reverse=True,
        )
        text = json.dumps({key: value for key, value in record.items() if key != "id"})
        for manager in managers:
            for frame in _MANAGER_FRAMES:
                text = text.replace(frame.format(manager), frame.format(manager + _SUFFIX))
        other: Record = {"id": record["id"]} | json.loads(text)
        return other


def _managers(query: str) -> list[str]:
    return [part.partition("=")[2] for part in query.split("&") if part.startswith("fieldManager=")]


async def _define(definition: KubeObject) -> list[str]:
    """Accepted, established, and served."""
    async with _serving(definition, "default") as (server, reply):
        if reply.status != 201:  # noqa: PLR2004 -- HTTP's Created
            return [f"the definition was refused: {reply.body.get('message')}"]
        read = await _send(server, "GET", f"{_DEFINITIONS}/{definition['metadata']['name']}")
        conditions = (read.body.get("status") or {}).get("conditions") or []
        established = any((c["type"], c["status"]) == ("Established", "True") for c in conditions)
        listed = await _send(server, "GET", server.collection)
        found = [] if established else [f"not established: {conditions}"]
        return found + ([] if listed.status == 200 else [f"not served: {listed.status}"])  # noqa: PLR2004 -- HTTP's OK


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: KubeObject
    warnings: tuple[str, ...] = ()


@asynccontextmanager
async def _serving(definition: KubeObject, namespace: str) -> AsyncIterator[tuple[_Server, _Reply]]:
    clock = ManualClock()
    api = ApiServer(clock)
    if namespace != "default":
        await api.local.create("namespaces", {"metadata": {"name": namespace}})
    async with (
        api.listen() as url,
        aiohttp.ClientSession(url, skip_auto_headers=["User-Agent"]) as session,
    ):
        server = _Server(clock, api, session, _collection(definition, namespace))
        reply = await _send(server, "POST", _DEFINITIONS, definition)
        collecting = asyncio.create_task(GarbageCollector(api.local, clock).run())
        try:
            yield server, reply
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)


def _collection(definition: KubeObject, namespace: str) -> str:
    spec = definition["spec"]
    base = f"/apis/{spec['group']}/{spec['versions'][0]['name']}"
    plural = spec["names"]["plural"]
    return (
        f"{base}/namespaces/{namespace}/{plural}"
        if spec["scope"] == "Namespaced"
        else f"{base}/{plural}"
    )


async def _play(record: Record, definition: KubeObject) -> list[str]:
    async with _serving(definition, _namespace(record)) as (server, _):
        listed = await _send(server, "GET", server.collection)
        names, found = Names(), []
        name = ""
        for number, step in enumerate(record["steps"], 1):
            name = _name(step, name or record["note"], record)
            found += [f"step {number}: {line}" for line in await _step(server, names, step, name)]
        since = listed.body["metadata"]["resourceVersion"]
        found += await _events(server, names, record.get("watch_events") or [], since)
        return found


def _namespace(record: Record) -> str:
    for step in record["steps"]:
        meta = (step["body"] or {}).get("metadata") if isinstance(step["body"], dict) else None
        if meta and meta.get("namespace"):
            return str(meta["namespace"])
    return "default"


def _name(step: Mapping[str, Any], known: str, record: Record) -> str:
    """The name in a step's body; a step without one means the object before."""
    body = step["body"]
    meta = (body.get("metadata") if isinstance(body, dict) else None) or {}
    if meta.get("name"):
        return str(meta["name"])
    first = (record["steps"][0]["body"] or {}).get("metadata") or {}
    return str(first.get("name") or known)


async def _step(server: _Server, names: Names, step: Mapping[str, Any], name: str) -> list[str]:
    body = names.spelled(copy.deepcopy(step["body"]))
    path = server.collection if step["method"] == "POST" else f"{server.collection}/{name}"
    if step["subresource"]:
        path += f"/{step['subresource']}"
    reply = await _send(server, step["method"], path, body, step)
    if step["method"] == "DELETE":
        await _calm(server)
    if reply.status != step["http_status"]:
        told = reply.body.get("message", "")
        return [f"http_status: {reply.status} {told}, recorded: {step['http_status']}"]
    recorded = step.get("object")
    if recorded is not None:
        names.learn(recorded, reply.body)
        found = list(differences(names.spelled(recorded), reply.body))
    else:
        status = step.get("status_body") or {}
        found = list(differences(names.spelled(status), without_type(reply.body), "Status"))
    return found + list(differences(step.get("warnings") or [], list(reply.warnings), "warnings"))


async def _calm(server: _Server) -> None:
    """Return when the garbage collector has nothing more to do."""
    version, rounds = "", 0
    while rounds < _CALM_ROUNDS:
        now = (await server.api.local.list("namespaces")).resource_version
        rounds = rounds + 1 if now == version else 0
        version = now
        await asyncio.sleep(0)


async def _events(
    server: _Server, names: Names, recorded: Sequence[Mapping[str, Any]], since: str
) -> list[str]:
    """All that a watch from before the first step sees."""
    query = {"watch": "1", "resourceVersion": since, "timeoutSeconds": "1"}
    async with server.session.get(server.collection, params=query) as reply:
        await server.clock.advance(_END)
        lines = [line async for line in reply.content]
    seen = [projected(json.loads(line)) for line in lines]
    found = []
    if len(seen) != len(recorded):
        found.append(f"watch: {len(seen)} events, recorded: {len(recorded)}")
    for number, (theirs, ours) in enumerate(zip(recorded, seen, strict=False), 1):
        names.learn(theirs["object"], ours["object"])
        found += differences(names.spelled(theirs), ours, f"event {number}")
    return found


async def _send(
    server: _Server,
    method: str,
    path: str,
    body: Any = None,
    step: Mapping[str, Any] | None = None,
) -> _Reply:
    step = step or {}
    query = f"?{step['query']}" if step.get("query") else ""
    media = step.get("content_type") or "application/json"
    async with server.session.request(
        method,
        path + query,
        data=None if body is None else json.dumps(body).encode(),
        headers={} if body is None else {"Content-Type": media},
    ) as reply:
        warnings = tuple(_unquoted(text) for text in reply.headers.getall("Warning", []))
        return _Reply(reply.status, await reply.json(), warnings)


def _unquoted(header: str) -> str:
    """The text of `299 - "text"`."""
    return header.partition(' "')[2].rpartition('"')[0].replace('\\"', '"').replace("\\\\", "\\")


REPLAYER = SsaCompute()
