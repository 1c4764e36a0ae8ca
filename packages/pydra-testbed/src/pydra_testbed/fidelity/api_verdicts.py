"""Plays `api-verdicts.jsonl`: one request to the API server each, its verdict compared with the recorded one.

Requests go over HTTP, each to a server of its own with the record's gates, permissions and old object.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp

from pydra_testbed.api import (
    ADMIN,
    ALWAYS_ALLOW,
    NODE_NAME,
    RBAC,
    RESOURCE_VERSIONS,
    ApiServer,
    User,
    selector_check,
)
from pydra_testbed.clock import ManualClock
from pydra_testbed.fidelity.api_answers import Reply, differences, served_differences
from pydra_testbed.fidelity.api_changes import changed
from pydra_testbed.fidelity.api_requests import Call, Place, before, call_of, fitted, place_of
from pydra_testbed.fidelity.model import Outcome, Record
from pydra_testbed.objects import KubeObject

_ADMIN = "resource.kubernetes.io/admin-access"
_NAMESPACES = {"admin": {_ADMIN: "true"}, "admin2": {_ADMIN: "True"}, "other": {}, "authz": {}}
_SUCCESS = (200, 201)
_START = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
"""A time that no recording holds: what is made new shows."""


class ApiVerdicts:
    """The replayer of API verdicts."""

    async def replay(self, records: Sequence[Record]) -> AsyncIterator[Outcome]:
        """Play records, each on a fresh server."""
        for record in records:
            yield Outcome(record["id"], record["area"], tuple(await _play(record)))

    def changed(self, record: Record) -> Record | None:
        """The record with one field changed, as the rules demand then."""
        return changed(record)


async def _play(record: Record) -> list[str]:
    place = place_of(record)
    server = _server(record)
    for name, labels in _NAMESPACES.items():
        await server.local.create("namespaces", {"metadata": {"name": name, "labels": labels}})
    admin, token = server.tokens.add(ADMIN), await _token(server, record.get("user"))
    async with server.listen() as url, _session(url) as session:
        old: KubeObject = {}
        for call in before(record, place):
            reply = await _send(session, call, admin)
            if reply.status not in _SUCCESS:
                return [f"the old object was not taken: {reply.body.get('message')}"]
            old = reply.body
        call = call_of(record, place, fitted(record, place, old))
        reply = await _send(session, call, token or admin)
        found = list(differences(record, reply, _names(record, old)))
        return found or [line async for line in _served(session, record, place, admin)]


def _server(record: Record) -> ApiServer:
    return ApiServer(
        ManualClock(_START),
        cel_check=selector_check,
        gates=record.get("gates") or {},
        resource_versions=RESOURCE_VERSIONS,
        authorization=RBAC if record.get("user") else ALWAYS_ALLOW,
    )


async def _token(server: ApiServer, caller: KubeObject | None) -> str:
    """The token of the recorded caller, whose rules hold in the whole cluster."""
    if not caller:
        return ""
    role: KubeObject = {"metadata": {"name": "caller"}, "rules": caller["rbac_rules"]}
    await server.local.create("clusterroles", role)
    binding: KubeObject = {
        "metadata": {"name": "caller"},
        "roleRef": {"kind": "ClusterRole", "name": "caller"},
        "subjects": [{"kind": "User", "name": caller["name"]}],
    }
    await server.local.create("clusterrolebindings", binding)
    node = caller.get("node_name_extra")
    return server.tokens.add(User(caller["name"], extra={NODE_NAME: (node,)} if node else {}))


def _session(url: str) -> aiohttp.ClientSession:
    """The recorder sent no user agent."""
    return aiohttp.ClientSession(url, skip_auto_headers=["User-Agent"])


def _names(record: Record, old: KubeObject) -> dict[str, str]:
    recorded = (record.get("old_object") or {}).get("metadata", {}).get("uid")
    return {old["metadata"]["uid"]: recorded} if old and recorded else {}


async def _served(
    session: aiohttp.ClientSession, record: Record, place: Place, token: str
) -> AsyncIterator[str]:
    for version, recorded in (record.get("served") or {}).items():
        reply = await _send(session, Call("GET", place.item(version), b""), token)
        for line in served_differences(version, recorded, reply, record):
            yield line


async def _send(session: aiohttp.ClientSession, call: Call, token: str) -> Reply:
    headers = {"Authorization": f"Bearer {token}"}
    if call.method in {"POST", "PUT", "PATCH"}:
        headers["Content-Type"] = call.media
    try:
        async with session.request(
            call.method, call.path, data=call.body or None, headers=headers
        ) as reply:
            warnings = [_unquoted(text) for text in reply.headers.getall("Warning", [])]
            return Reply(reply.status, _decoded(await reply.text()), tuple(warnings))
    except aiohttp.ServerDisconnectedError:
        return Reply(0, {})


def _unquoted(header: str) -> str:
    """The text of `299 - "text"`."""
    return header.partition(' "')[2].rpartition('"')[0].replace('\\"', '"').replace("\\\\", "\\")


def _decoded(text: str) -> KubeObject:
    body: Any = json.loads(text) if text.startswith("{") else {"message": text}
    return dict(body)


REPLAYER = ApiVerdicts()
